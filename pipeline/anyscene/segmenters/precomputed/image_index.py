"""The images that 2D models are shown: the index that `anyscene frames` writes (docs/precomputed.md)."""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from anyscene.errors import DataError
from anyscene.project import outputs
from anyscene.project.layout import FRAMES
from anyscene.project.parameters import Projection

INDEX = FRAMES / "index.csv"
COLUMNS = ("key", "of", "image", "state")
KEY = re.compile("[0-9a-f]{32}")  # image_key


@dataclass(frozen=True)
class IndexedImage:
    """An image that 2D models are shown."""

    key: str  # image_key of its pixels
    of: str  # its scene, or synthesis/CLASS
    image: str  # its frame, or its number among those of the class


def image_key(image: np.ndarray) -> str:
    """The name of the file that belongs to an image u1[H, W, 3], without suffix: a hash of its shape and
    pixels."""
    head = "x".join(map(str, image.shape)).encode()
    return hashlib.sha256(head + b"\0" + np.ascontiguousarray(image).tobytes()).hexdigest()[:32]


def state(artefact: str, frames: Projection | None = None) -> str:
    """What the images of a scene or class depend on: the content key of its artefact, and the size that
    `frames` are resized to, and how. When it changes, the images may."""
    if frames is None:
        return artefact[:16]
    how = "" if frames.resize == "antialiased" else f" {frames.resize}"  # as indices of before have it
    return f"{artefact[:16]} {frames.width}x{frames.height}{how}"


def write(rows: Iterable[tuple[str, str, str, str]], index: Path) -> None:
    """Write an index of `rows` of COLUMNS. It replaces an older one only when all of them are written."""
    with outputs.replaced(index) as partial, partial.open("w", newline="", encoding="utf-8") as stream:
        written = csv.writer(stream)
        written.writerow(COLUMNS)
        written.writerows(rows)


def read(index: Path) -> list[dict[str, str]]:
    """The rows of an index, by the names of COLUMNS. Raises DataError where it is missing, or `anyscene
    frames` has not written it."""
    try:
        with index.open(newline="", encoding="utf-8") as stream:
            rows = csv.reader(stream, strict=True)
            head = next(rows, [])
            if tuple(head) != COLUMNS:
                raise ValueError(f"wanted the columns {','.join(COLUMNS)}, found {','.join(head)!r}")
            found = []
            for row in rows:
                if len(row) != len(COLUMNS) or not KEY.fullmatch(row[0]):
                    raise ValueError(f"line {rows.line_num} is not an image")
                found.append(dict(zip(COLUMNS, row, strict=True)))
            return found
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{index}: not readable ({error}); run `anyscene frames`") from error


def noted(index: Path, states: Mapping[str, str]) -> list[IndexedImage]:
    """The images of the scenes and classes that are still in the state in which they were written; none
    without an index.

    states: the state of each scene and class, by what images are `of`. Raises DataError as `read`.
    """
    if not index.exists():
        return []
    return [
        IndexedImage(row["key"], row["of"], row["image"])
        for row in read(index)
        if row["state"] == states.get(row["of"])
    ]
