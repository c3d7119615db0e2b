"""A layer: what is drawn of the points of a scene, in a report, in the viewer and in other pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anyscene.arrays import F4, U1, Integers
from anyscene.datasets import LabelSet

NEUTRAL = (125, 130, 138)  # the colour of points of which nothing is known
NOTHING = "none"  # its name in a legend


@dataclass(frozen=True)
class Classes:
    """A legend that names colours."""

    entries: tuple[tuple[str, tuple[int, int, int]], ...]  # (name, red, green and blue)

    def colour(self, name: str) -> tuple[int, int, int] | None:
        """The colour of `name`; None where the legend does not have it."""
        return dict(self.entries).get(name)


@dataclass(frozen=True)
class Scale:
    """A legend of values in 0..1."""

    low: str  # what stands at 0
    high: str  # what stands at 1


@dataclass(frozen=True, eq=False)
class Layer:
    """Colours of points, or values that whoever draws them turns into colours."""

    name: str  # one word or a path, such as "labels" or "weight/dense"
    title: str  # for people
    colours: U1 | None = None  # u1[N, 3]
    values: F4 | None = None  # f4[N] in 0..1, NaN where nothing is known
    legend: Classes | Scale | None = None

    def __post_init__(self) -> None:
        if (self.colours is None) == (self.values is None):
            raise ValueError(f"layer {self.name}: give colours or values, and not both")


def label_layer(name: str, title: str, label: Integers, label_set: LabelSet) -> Layer:
    """A layer that shows points in the colours of their classes; its legend names the classes that occur.
    label: i[N], -1 = none."""
    present = np.unique(label)
    entries = [(label_set.names[row], tuple(label_set.colours[row].tolist())) for row in present if row >= 0]
    if (present < 0).any():
        entries.append((NOTHING, NEUTRAL))
    return Layer(name, title, label_colours(label, label_set.colours), legend=Classes(tuple(entries)))


def label_colours(label: Integers, colours: U1) -> U1:
    """u1[N, 3]: the colours of labels i[N], which are rows of `colours` u1[K, 3]; neutral grey for -1."""
    table = np.concatenate([colours, [NEUTRAL]]).astype(np.uint8)
    return table[label]


def distinct_colours(number: Integers) -> U1:
    """u1[N, 3]: a random colour for each number in `number` i[N], the same every time, so that different
    numbers are told apart. Neutral grey for -1."""
    table = np.random.default_rng(0).integers(60, 240, (int(number.max(initial=0)) + 1, 3), np.uint8)
    return np.concatenate([table, np.array([NEUTRAL], np.uint8)])[number]
