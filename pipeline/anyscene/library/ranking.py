"""The answer of a scene to a text, as arrays over its points."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

import numpy as np

from anyscene.arrays import B1, F4, I4, Floats
from anyscene.scene import World
from anyscene.tasks.query.groups import Match
from anyscene.tasks.query.session import Answer, FoundThrough
from anyscene.tasks.surface import Surface


@dataclass(frozen=True, eq=False)
class Group:
    """Points that a text describes: superpoints that touch and show the same class."""

    score: float  # the mean similarity of its points with the text, to compare within one answer
    shows: str  # the class of the vocabulary to which its features are closest
    mask: B1 = field(repr=False)  # b1[N], the points of the scene that belong to it
    box: Floats  # f4[2, 3], lowest and highest x, y, z of its points, metres; f8 in the world "source"
    centre: Floats  # f4[3], the mean of its points, metres; f8 in the world "source"
    area: float  # square metres of its surface
    superpoints: I4 = field(repr=False)  # i4[S], those that it consists of
    found_as: FoundThrough | None = field(repr=False)  # the class that led to it; None: its own features


@dataclass(frozen=True, eq=False)
class Ranking(Sequence[Group]):
    """The groups that a text describes best, the best first.

    The order is not that of the scores: a mean over little surface may be high by chance, so groups are
    ordered by the mean minus its standard error (`anyscene.tasks.query.groups.ranked`)."""

    text: str  # of the query
    negative: tuple[str, ...]  # texts for what is not meant
    groups: tuple[Group, ...] = field(repr=False)  # by rank
    # f4[N], similarity of each point; NaN without a feature and where a negative text fits better
    scores: F4 = field(repr=False)
    heat: F4 = field(repr=False)  # f4[N] in 0..1, the scores for colours

    @classmethod
    def of(cls, answer: Answer, surface: Surface, world: World = "scene") -> Ranking:
        """The ranking of an answer that has scores for all points of `surface`, placed in one of its
        worlds."""
        answer = answer.placed(surface, world)
        precision = np.float32 if world == "scene" else np.float64
        found = zip(answer.matches, answer.shows, answer.through, strict=True)
        groups = tuple(_group(surface, precision, *one) for one in found)
        return cls(answer.text, answer.negative, groups, answer.score, answer.heat)

    @overload
    def __getitem__(self, rank: int) -> Group: ...
    @overload
    def __getitem__(self, rank: slice) -> Sequence[Group]: ...
    def __getitem__(self, rank: int | slice) -> Group | Sequence[Group]:
        return self.groups[rank]

    def __len__(self) -> int:
        return len(self.groups)

    def __iter__(self) -> Iterator[Group]:
        return iter(self.groups)


def _group(
    surface: Surface,
    precision: type[np.floating[Any]],
    match: Match,
    shows: str,
    through: FoundThrough | None,
) -> Group:
    return Group(
        match.score,
        shows,
        np.isin(surface.superpoint, match.superpoints),
        np.array(match.box, precision),
        np.array(match.centre, precision),
        match.area,
        np.array(match.superpoints, np.int32),
        through,
    )
