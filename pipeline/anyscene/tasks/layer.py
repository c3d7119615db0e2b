"""A layer: what is drawn of the points of a scene, in a report, in the viewer and in other pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anyscene.datasets import LabelSet

NEUTRAL = (125, 130, 138)  # of points that nothing is said of
NOTHING = "none"  # its name in a legend


@dataclass(frozen=True)
class Classes:
    """A legend that names colours."""

    entries: tuple[tuple[str, tuple[int, int, int]], ...]  # (name, red, green and blue)

    def colour(self, name: str) -> tuple[int, int, int] | None:
        """The colour that `name` has, None where it has none."""
        return dict(self.entries).get(name)


@dataclass(frozen=True)
class Scale:
    """A legend of values: what stands at either end of 0..1."""

    low: str
    high: str


@dataclass(frozen=True, eq=False)
class Layer:
    """Either colours of points, or values that whoever draws them turns into colours."""

    name: str  # in one word or a path, such as "labels" or "weight/dense"
    title: str  # for people
    colours: np.ndarray | None = None  # u1[N, 3]
    values: np.ndarray | None = None  # f4[N] in 0..1, NaN where nothing is known
    legend: Classes | Scale | None = None

    def __post_init__(self) -> None:
        if (self.colours is None) == (self.values is None):
            raise ValueError(f"layer {self.name}: give colours or values, and not both")


def label_layer(name: str, title: str, label: np.ndarray, label_set: LabelSet) -> Layer:
    """Points in the colours of their classes; the legend names those that are there. label: i[N], -1 =
    none."""
    present = np.unique(label)
    entries = [(label_set.names[row], tuple(label_set.colours[row].tolist())) for row in present if row >= 0]
    if (present < 0).any():
        entries.append((NOTHING, NEUTRAL))
    return Layer(name, title, label_colours(label, label_set.colours), legend=Classes(tuple(entries)))


def label_colours(label: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """u1[N, 3] of labels [N] in the colours u1[K, 3] of a label set; neutral grey for -1."""
    table = np.concatenate([colours, [NEUTRAL]]).astype(np.uint8)
    return table[label]


def distinct_colours(number: np.ndarray) -> np.ndarray:
    """u1[N, 3]: a colour for each number in `number` [N]; only that neighbours differ matters. Neutral grey
    for -1."""
    table = np.random.default_rng(0).integers(60, 240, (int(number.max(initial=0)) + 1, 3), np.uint8)
    return np.concatenate([table, np.array([NEUTRAL], np.uint8)])[number]
