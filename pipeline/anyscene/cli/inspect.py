"""Look at an artefact."""

import json
from pathlib import Path
from typing import Annotated

import typer

from anyscene.cli.command import command
from anyscene.cli.options import Json
from anyscene.project.console import stdout
from anyscene.show import inspection, picture_files


def inspect(
    path: Annotated[
        Path, typer.Argument(help="a .zarr group, a model, a file of data/capability, or a folder of them")
    ],
    picture: Annotated[
        Path | None, typer.Option("--png", "--picture", help="write a picture (PNG) here")
    ] = None,
    scene: Annotated[Path | None, typer.Option(help="group of data/scenes with the points")] = None,
    as_json: Json = False,
) -> None:
    """Show what an artefact holds: shapes, codecs, ranges, NaN; as a picture PCA colours or charts."""
    if picture is not None:
        picture_files.check(picture)
    console = stdout()
    if as_json:
        typer.echo(json.dumps(inspection.record(path), indent=2))
    else:
        console.print(inspection.tree(path))
    if picture is not None:
        picture_files.write(picture, inspection.picture(path, scene))
        if not as_json:
            console.print(f"picture: {picture}")


app = command(inspect)

if __name__ == "__main__":
    app()
