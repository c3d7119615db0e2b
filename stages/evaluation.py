"""Everything that predicts -> reports/{metrics,summary}.json and reports/plots, and the closing table."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from anyscene import datasets
from anyscene.cli.command import command
from anyscene.project import parameters

REPORTS = Path("reports")
PAGE = REPORTS / "index.html"


def evaluation(
    params: Path = Path("params.yaml"),
    show: Annotated[
        bool, typer.Option("--show", help="print the table of the last run, compute nothing")
    ] = False,
) -> None:
    """Measure every way from 2D models to labelled points, with controls and intervals over scenes."""
    if not show:
        _compute(params)
    _print()


def _compute(params: Path) -> None:
    from anyscene.project.layout import Artefacts
    from anyscene.study import evaluation, reports

    settings = parameters.load(params)
    names = datasets.label_set(settings.dataset.label_set).names
    reports.write(evaluation.run(settings, Artefacts(params.parent)), names, REPORTS)


def _print() -> None:
    from anyscene.study import reports
    from anyscene.study.table import tables

    console = Console(highlight=False)
    console.print(tables(reports.read(REPORTS)))
    if PAGE.is_file():
        console.print(f"\nreport: {PAGE.resolve()}")


app = command(evaluation)

if __name__ == "__main__":
    app()
