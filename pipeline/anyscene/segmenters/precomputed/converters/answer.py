"""What a model says of one image, whoever wrote it down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

Size = tuple[int, int]  # height, width


@dataclass(frozen=True)
class Masks:
    """mask: b1[n, H, W] of the image's size; name: what each is; score: f4[n] in 0..1; caption: what is said
    of each, where the model says anything."""

    mask: np.ndarray
    name: tuple[str, ...]
    score: np.ndarray
    caption: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Features:
    """feature: f2[h, w, C], a grid that covers the image."""

    feature: np.ndarray


@dataclass(frozen=True)
class Options:
    """labels: names of the classes, by their index; stride: pixels from one feature to the next."""

    labels: tuple[str, ...] | None = None
    stride: int = 1


class Reader(Protocol):
    """The files of one script in one folder."""

    def has(self, key: str) -> bool:
        """Whether there is an answer for the image `key`."""
        ...

    def read(self, key: str, size: Size) -> Masks | Features:
        """The answer for the image `key` of `size`. Raises DataError naming the file that is wrong."""
        ...
