"""Sweet Home 3D libraries -> data/demo/furniture.npz and its ATTRIBUTION.md, both committed."""

from pathlib import Path
from typing import Annotated

import typer

from anyscene.cli.command import command
from anyscene_demo import furniture as demo


def furniture(
    source: Annotated[
        Path, typer.Option(help="Folder of the .sh3f files of Debian's sweethome3d-furniture.")
    ] = Path("/usr/share/sweethome3d/furniture"),
) -> None:
    """Convert the selected furniture models anew (only needed when data/demo/selection.csv changes)."""
    models = demo.convert(source)
    print(f"{demo.PACK}: {len(models)} models, {demo.PACK.stat().st_size / 2**20:.1f} MiB")


app = command(furniture)

if __name__ == "__main__":
    app()
