"""What the scripts of another model wrote -> a precomputed 2D model (docs/precomputed.md)."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from anyscene.cli.command import command
from anyscene.errors import DataError
from anyscene.project import layout, outputs
from anyscene.project.parameters import LONGEST_SIDE, words
from anyscene.segmenters.precomputed import converters

# its members are known once the readers are
Producer = StrEnum("Producer", {name: name for name in converters.READERS})  # type: ignore[misc]


def main(
    folder: Annotated[Path, typer.Argument(help="what the model's scripts wrote of the images of `frames`")],
    source: Annotated[Producer, typer.Option("--from", help="the model")],
    out: Annotated[Path, typer.Option(help="folder to write: NAME under segmenters.weights")],
    frames: Annotated[Path, typer.Option(help="images that `anyscene frames` wrote")] = layout.FRAMES,
    labels: Annotated[Path | None, typer.Option(help="JSON list of the names of its classes")] = None,
    stride: Annotated[
        int, typer.Option(min=1, max=LONGEST_SIDE, help="pixels from one feature to the next")
    ] = 1,
    missing_is_empty: Annotated[
        bool, typer.Option("--missing-is-empty", help="images without a file have no masks")
    ] = False,
) -> None:
    """Convert the answers of SEEM, ODISE, OpenSeg or TAP; NAME is then a 2D model among segmenters.names.

    Let the model's own scripts run on the images that `anyscene frames` wrote; FOLDER is what they wrote.
    """
    outputs.check_folder(out)
    wanted = converters.wanted(frames)
    reader = converters.READERS[source](folder, converters.Options(_labels(labels), stride))
    summary = converters.write(
        reader,
        wanted,
        out,
        missing_is_empty=missing_is_empty,
        about={"model": str(source)},
    )
    masks = f", {summary.masks} masks of {summary.labels} names; {summary.empty} images without any"
    typer.echo(f"{summary.images} images -> {out}{masks if summary.kind == 'masks' else ''}")


def _labels(file: Path | None) -> tuple[str, ...] | None:
    if file is None:
        return None
    try:
        labels = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: not readable ({error})") from error
    if (
        not isinstance(labels, list)
        or not labels
        or not all(isinstance(one, str) and words(one) for one in labels)
    ):
        raise DataError(f"{file}: wanted a JSON list of names")
    return tuple(labels)


app = command(main)

if __name__ == "__main__":
    app()
