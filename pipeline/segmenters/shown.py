"""Which images 2D models are shown: the index that `anyscene frames` writes (docs/precomputed.md)."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

INDEX = Path("data/frames/index.csv")
COLUMNS = ("key", "of", "image", "state")


@dataclass(frozen=True)
class Shown:
    """key: image_key of its pixels; of: its scene, or synthesis/CLASS; image: which one of that."""

    key: str
    of: str
    image: str


def state(artefact: str, size: tuple[int, int] | None = None) -> str:
    """What the images of a scene or class depend on: the content key of its artefact, and the size (width,
    height) that frames are resized to. Another one: the images may be others."""
    return artefact[:16] if size is None else f"{artefact[:16]} {size[0]}x{size[1]}"


def noted(index: Path, states: Mapping[str, str]) -> list[Shown]:
    """The images of scenes and classes that are still in the state that they were written in; none without
    an index. states: by what images are `of`."""
    if not index.is_file():
        return []
    with index.open(newline="") as stream:
        return [
            Shown(row["key"], row["of"], row["image"])
            for row in csv.DictReader(stream)
            if row.get("state") and row["state"] == states.get(row["of"])
        ]
