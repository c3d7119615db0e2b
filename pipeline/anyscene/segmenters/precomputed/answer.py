"""The answer of a model for one image, in whichever form it was written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from anyscene.arrays import B1, F2, F4

FORMAT = 1  # schema version of precomputed.json
Size = tuple[int, int]  # height, width


@dataclass(frozen=True)
class MaskAnswer:
    """Masks of one image."""

    mask: B1  # b1[n, H, W], of the image's size
    name: tuple[str, ...]  # the label of each, in the model's own words
    score: F4  # f4[n] in 0..1
    caption: tuple[str, ...] | None = None  # the caption of each, where the model writes any


@dataclass(frozen=True)
class FeatureAnswer:
    """Features of one image."""

    feature: F2  # f2[h, w, C], a grid that covers the image


@dataclass(frozen=True)
class Options:
    """Options of a converter."""

    labels: tuple[str, ...] | None = None  # names of the classes, by their index
    stride: int = 1  # pixels from one feature to the next


class Reader(Protocol):
    """The files that one script wrote into one folder."""

    def has(self, key: str) -> bool:
        """Whether there is an answer for the image `key`."""
        ...

    def read(self, key: str, size: Size) -> MaskAnswer | FeatureAnswer:
        """The answer for the image `key` of `size`. Raises DataError naming the file that is wrong."""
        ...
