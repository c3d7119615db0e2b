"""Proposals of objects, which get their names by the features inside them -> average precision."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from anyscene.cli.command import command
from anyscene.cli.options import ParamsFile, Source
from anyscene.errors import DataError
from anyscene.library.opening import located
from anyscene.project import layout, outputs
from anyscene.project.console import stdout
from anyscene.tasks.instances import proposals

# its members are known once the readers are
Format = StrEnum("Format", {name: name for name in proposals.READERS})  # type: ignore[misc]


def main(
    folder: Annotated[Path, typer.Argument(help="of SCENE.txt and masks, or of SCENE_masks.pt")],
    out: Annotated[Path, typer.Option(help="JSON to write")] = layout.INSTANCES,
    format_: Annotated[
        Format,
        typer.Option("--format", help="scannet: of its benchmark, as Mask3D exports; mask3d: OpenMask3D's"),
    ] = Format("scannet"),
    source: Source = None,
    params: ParamsFile = None,
) -> None:
    """Score class-agnostic proposals by AP, AP50 and AP25, as ScanNet's benchmark does."""
    outputs.check(out, ".json")
    settings, artefacts = located(params)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give that of the proposals")
    from anyscene.tasks.instances.scoring import score_proposals  # takes PyTorch
    from anyscene.text import load_text_encoder

    encoder = load_text_encoder(settings.text)
    result = score_proposals(folder, settings, artefacts, encoder, source, proposals.READERS[format_])
    outputs.write(out, json.dumps(result, indent=2) + "\n")
    table = Table("class", "AP", "AP50", "AP25", title=f"{result['proposals']} proposals, {result['source']}")
    for name, scores in {**result["per_class"], "mean": [result[k] for k in ("AP", "AP50", "AP25")]}.items():
        table.add_row(name, *(f"{score:.1f}" for score in scores))
    stdout().print(table)


app = command(main)

if __name__ == "__main__":
    app()
