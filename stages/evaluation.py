"""Everything that predicts -> reports/{metrics,summary}.json and reports/plots, and the closing table."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from anyscene import datasets
from anyscene.cli.command import command
from anyscene.errors import StoreError
from anyscene.project import parameters

METRICS, SUMMARY = Path("reports/metrics.json"), Path("reports/summary.json")
PLOTS, PAGE = Path("reports/plots"), Path("reports/index.html")


def evaluation(
    params: Path = Path("params.yaml"),
    show: Annotated[
        bool, typer.Option("--show", help="print the table of the last run, compute nothing")
    ] = False,
) -> None:
    """Measure every way from 2D models to labelled points, with controls and intervals over rooms."""
    if not show:
        _compute(params)
    _print()


def _compute(params: Path) -> None:
    from anyscene.project.layout import Artefacts
    from anyscene.study import evaluation as study
    from anyscene.study import plots
    from anyscene.study.summary import summary

    settings = parameters.load(params)
    result = study.run(settings, Artefacts(params.parent))
    METRICS.parent.mkdir(parents=True, exist_ok=True)
    METRICS.write_text(json.dumps(result.metrics, indent=2) + "\n")
    SUMMARY.write_text(json.dumps(summary(result.metrics), indent=2) + "\n")
    plots.write(result, datasets.label_set(settings.dataset.label_set).names, PLOTS)


def _print() -> None:
    from anyscene.study.table import tables

    if not METRICS.is_file():
        raise StoreError(f"{METRICS}: nothing was evaluated yet; run `dvc repro`")
    console = Console(highlight=False)
    console.print(tables(json.loads(METRICS.read_text())))
    if PAGE.is_file():
        console.print(f"\nreport: {PAGE.resolve()}")


app = command(evaluation)

if __name__ == "__main__":
    app()
