"""Proposals of objects, named by the features inside them -> average precision."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from anyscene.cli.command import command
from anyscene.project import parameters
from anyscene.project.layout import Artefacts
from anyscene.tasks.instances.proposals import score_proposals
from anyscene.text import load_text_encoder


def main(
    proposals: Annotated[Path, typer.Argument(help="folder of SCENE.txt and masks, as Mask3D exports them")],
    out: Annotated[Path, typer.Option(help="JSON to write")] = Path("reports/instances.json"),
    source: Annotated[
        str | None,
        typer.Option(help="ensembling, distillation/OBJECTIVE or fusion; default: the last that there is"),
    ] = None,
    params: Path = Path("params.yaml"),
) -> None:
    """Score class-agnostic proposals by AP, AP50 and AP25, as ScanNet's benchmark does."""
    settings = parameters.load(params)
    result = score_proposals(
        proposals, settings, Artefacts(params.parent), load_text_encoder(settings.text), source
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=2) + "\n")
    table = Table("class", "AP", "AP50", "AP25", title=f"{result['proposals']} proposals, {result['source']}")
    for name, scores in {**result["per_class"], "mean": [result[k] for k in ("AP", "AP50", "AP25")]}.items():
        table.add_row(name, *(f"{score:.1f}" for score in scores))
    Console(highlight=False).print(table)


app = command(main)

if __name__ == "__main__":
    app()
