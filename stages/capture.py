"""A capture as other tools export it -> a scan in the rgbd form, for dataset.root and anyscene predict."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pipeline import captures
from pipeline.errors import DataError
from stages import command

Source = StrEnum("Source", {name: name for name in captures.READERS})
UNITS = {"m": 1.0, "mm": 0.001}


def main(
    folder: Annotated[Path, typer.Argument(help="the export: the folder of transforms.json")],
    source: Annotated[Source, typer.Option("--from", help="what wrote it")],
    out: Annotated[Path, typer.Option(help="folder of the scan, made by this command")],
    scale: Annotated[
        float | None, typer.Option(help="metres of a unit of its poses; 1 where measured")
    ] = None,
    depth_unit: Annotated[
        str | None, typer.Option(help="unit of its depth: mm, m, or metres of a step")
    ] = None,
    mesh: Annotated[Path | None, typer.Option(help="PLY in the capture's world, with colours")] = None,
) -> None:
    """Import a capture: distortion is taken out, images on their side are turned, units become metres."""
    if scale is not None and not scale > 0:
        raise DataError(f"--scale {scale:g}: must be positive, the metres of a unit")
    shots = captures.READERS[source](folder, scale, _unit(depth_unit))
    summary = captures.write(shots, out, mesh, scale or 1.0)
    sizes = ", ".join(f"{width}x{height}" for width, height in summary.sizes)
    typer.echo(
        f"{summary.frames} frames of {sizes} -> {out}; {summary.depth} with depth, {summary.undistorted} "
        f"without their distortion, {summary.turned} turned upright"
    )


def _unit(text: str | None) -> float | None:
    if text is None or text in UNITS:
        return UNITS.get(text)
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not value > 0:
        raise DataError(f"--depth-unit {text}: give mm, m, or the metres of one step (0.00025)")
    return value


app = command(main)

if __name__ == "__main__":
    app()
