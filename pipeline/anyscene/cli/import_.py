"""A capture that another tool exported -> a scan in the rgbd form, for dataset.root and anyscene predict."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from anyscene.cli.command import command
from anyscene.datasets import imports
from anyscene.errors import DataError

# its members are known once the readers are
Exporter = StrEnum("Exporter", {name: name for name in imports.READERS})  # type: ignore[misc]
UNITS = {"m": 1.0, "mm": 0.001}


class Confidence(StrEnum):
    """How sure a device is of its depth, from the lowest to the highest."""

    low = "low"
    medium = "medium"
    high = "high"


# Commands that take an export as it is have the same options (`told`).
From = Annotated[Exporter | None, typer.Option("--from", help="what wrote the export; default: by its files")]
Scale = Annotated[float | None, typer.Option(help="metres of a unit of its poses; 1 where measured")]
DepthUnit = Annotated[str | None, typer.Option(help="unit of its depth: mm, m, or metres of a step")]
Up = Annotated[
    str | None,
    typer.Option(help="what is up in its world: x, -x, y, ..., X,Y,Z, or images: where these are held level"),
]
Sure = Annotated[Confidence, typer.Option(help="depth that the device was less sure of is dropped")]
Mesh = Annotated[Path | None, typer.Option(help="PLY in the export's world, with colours and faces")]
Every = Annotated[int, typer.Option(min=1, help="take every so many-th of its frames")]


def main(
    export: Annotated[Path, typer.Argument(help="a folder, or an archive (.r3d, .zip)")],
    out: Annotated[Path, typer.Option(help="folder of the scan, made by this command")],
    source: From = None,
    scale: Scale = None,
    depth_unit: DepthUnit = None,
    up: Up = None,
    confidence: Sure = Confidence.medium,
    mesh: Mesh = None,
    every: Every = 1,
) -> None:
    """Import a capture: distortion is taken out, images on their side are turned, units become metres."""
    capture = imports.read(export, source, export_options(scale, depth_unit, up, confidence), every)
    typer.echo(f"{out}: {imports.write(capture, out, mesh)}")


def export_options(
    scale: float | None, depth_unit: str | None, up: str | None, confidence: str
) -> imports.ExportOptions:
    """The options in the form of the library. Raises DataError for what is not a unit or not a direction."""
    if scale is not None and not 0 < scale < float("inf"):
        raise DataError(f"--scale {scale:g}: must be positive, the metres of a unit")
    direction = None if up is None else imports.direction(up)
    return imports.ExportOptions(
        scale, _unit(depth_unit), direction, list(Confidence).index(Confidence(confidence))
    )


def _unit(text: str | None) -> float | None:
    if text is None:
        return None
    if text in UNITS:
        return UNITS[text]
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise DataError(f"--depth-unit {text}: give mm, m, or the metres of one step (0.00025)")
    return value


app = command(main)

if __name__ == "__main__":
    app()
