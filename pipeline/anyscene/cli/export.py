"""A scene's results -> a file or folder that other tools read."""

from pathlib import Path
from typing import Annotated

import typer

from anyscene.cli.command import command
from anyscene.cli.options import ParamsFile, Source, project
from anyscene.project import store
from anyscene.show.formats import Format
from anyscene.text import load_text_encoder


def export(
    scene: Annotated[str, typer.Argument(help="id of an imported scene")],
    out: Annotated[Path, typer.Option(help="PLY to write, or the folder for pointcept and openscene")],
    format_: Annotated[Format, typer.Option("--format", help="what to write")] = Format.ply,
    source: Source = None,
    params: ParamsFile = None,
) -> None:
    """Write SCENE with labels (ply), for Pointcept (OUT/SCENE/*.npy), or for OpenScene (OUT/SCENE_0.pt)."""
    settings, artefacts = project(params)
    store.open_imported(artefacts.data("scenes"), scene)
    from anyscene.show.export import WRITERS, read  # takes PyTorch

    result = read(artefacts, scene, settings, load_text_encoder(settings.text), source)
    path = WRITERS[format_](result, out)
    typer.echo(
        f"{len(result.label)} points, {int(result.valid.sum())} with a feature of {result.source} -> {path}"
    )


app = command(export)

if __name__ == "__main__":
    app()
