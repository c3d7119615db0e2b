"""Look at an artefact."""

from pathlib import Path
from typing import Annotated

import typer
from PIL import Image
from rich.console import Console

from pipeline import inspection
from stages import command


def inspect(
    path: Annotated[Path, typer.Argument(help="a .zarr group, a folder of them, or a model's folder")],
    picture: Annotated[Path | None, typer.Option(help="write a picture (PNG) here")] = None,
    scene: Annotated[Path | None, typer.Option(help="group of data/scenes with the points")] = None,
) -> None:
    """Show what an artefact holds: arrays, shapes, ranges, compression; features as PCA colours."""
    Console(highlight=False).print(inspection.tree(path))
    if picture is not None:
        Image.fromarray(inspection.picture(path, scene)).save(picture)
        Console(highlight=False).print(f"picture: {picture}")


app = command(inspect)

if __name__ == "__main__":
    app()
