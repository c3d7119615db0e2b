"""A capture that another tool exported -> a scan in the rgbd form, for dataset.root and anyscene predict."""

from pathlib import Path
from typing import Annotated

import typer

from anyscene.cli.command import command
from anyscene.cli.told import Told, with_told
from anyscene.datasets import imports


def main(
    export: Annotated[Path, typer.Argument(help="a folder, or an archive (.r3d, .zip)")],
    out: Annotated[Path, typer.Option(help="folder of the scan, made by this command")],
    told: Told,
) -> None:
    """Import a capture: distortion is taken out, images on their side are turned, units become metres."""
    imports.check(out)
    capture = imports.read(export, told.exporter, told.options, told.every)
    typer.echo(f"{out}: {imports.write(capture, out, told.mesh, not told.options.anyway, True)}")


app = command(with_told(main, said=""))

if __name__ == "__main__":
    app()
