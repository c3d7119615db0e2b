"""Queries to one scene: each text ranks its groups of superpoints and scores its points.

The command line, the viewer and the benchmark of queries all use the session. Ranks come from means over all
points, and from a sample that does not depend on which points are drawn.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from anyscene.arrays import B1, F4, F8, I4, I8, Integers
from anyscene.lifting.places import distinct
from anyscene.scene import World
from anyscene.tasks.features import Features
from anyscene.tasks.query import groups, similarity
from anyscene.tasks.query.groups import DECIMALS, TOP, Unit
from anyscene.tasks.query.index import Index
from anyscene.tasks.query.similarity import SAMPLE, By
from anyscene.tasks.surface import Surface, spread
from anyscene.text import TextEncoder, limits
from anyscene.text.glosses import Vocabulary


@dataclass(frozen=True, eq=False)
class Session:
    """A scene with the features of one source, ready for queries."""

    scene: str  # id
    source: str  # of the features
    xyz: F4  # f4[N, 3], metres
    superpoint: I4  # i4[N]; empty where there are none, and then nothing is ranked
    index: Index
    group: Integers  # i[L], the group of each superpoint
    area: F8  # f8[L], square metres of each superpoint

    @classmethod
    def of(
        cls,
        surface: Surface,
        features: Features,
        classes: Vocabulary,
        unit: Unit = Unit.object,
        drawn: I8 | None = None,
        sample: I8 | None = None,
    ) -> Session:
        """Prepare a scene for queries.

        drawn: i8[M], the points whose scores an answer has, in rising order; None: those of the sample.
        sample: i8[M], what spread(xyz, SAMPLE) returns; pass it where it is known, because it takes a second
        for a million points."""
        superpoint, sample = surface.superpoint, spread(surface.xyz, SAMPLE) if sample is None else sample
        once = np.full(len(surface), len(surface.face) == 0)
        once[distinct(surface.xyz)[0]] = True  # of a mesh a place counts once
        index = Index.of(features, superpoint, classes, sample, drawn, once)
        group: Integers = np.arange(len(index.count))
        area = np.zeros(0)
        if len(superpoint):
            area = groups.areas(superpoint, surface.xyz, surface.face)
            if unit is Unit.object:
                pair = groups.touching(superpoint, surface.xyz, surface.face)
                group = groups.objects(index.shows, pair)
        return cls(surface.scene, features.name, surface.xyz, superpoint, index, group, area)

    def ask(
        self,
        encoder: TextEncoder,
        text: str,
        negative: Sequence[str] = (),
        top: int = TOP,
        by: By = By.both,
    ) -> Answer:
        """Where in the scene `text` is. What is closer to one of the `negative` texts is left out.

        top: how many groups to find; by: how points are compared with texts. Raises TextError as
        `limits.require_question`."""
        limits.require_question(text, negative)
        texts = encoder.encode([text, *negative])
        sample, drawn = self.index.sample, self.index.drawn
        positive, *others = np.ascontiguousarray(sample.scores(texts, by).T)
        ranges = [similarity.range_of(each) for each in (positive, *others)] if others else None
        score, out = positive, similarity.closer_to(others, positive, ranges)
        matches = self._ranked(texts[:1], by, positive, out, top)
        if drawn is not sample:
            score, *others = np.ascontiguousarray(drawn.scores(texts, by).T)
            out = similarity.closer_to(others, score, ranges)
        return Answer(
            text,
            tuple(negative),
            np.where(out, np.nan, score),
            tuple(matches),
            tuple(self._shows(match) for match in matches),
            tuple(self._found_through(texts[0], by, match) for match in matches),
            limits.beyond(encoder, text),
        )

    def _ranked(self, texts: F4, by: By, sampled: F4, out: B1, top: int) -> list[groups.Match]:
        if len(self.superpoint) == 0:
            return []
        superpoint = self.superpoint[self.index.sample.points]
        _, _, share_out = groups.by_superpoint(sampled, out, superpoint, len(self.group))
        score = self.index.superpoints(texts, by)[:, 0]
        return groups.ranked(
            score, self.index.count, share_out, similarity.deviation(sampled), self.superpoint, self.group,
            self.area, self.xyz, top,
        )  # fmt: skip

    def _shows(self, match: groups.Match) -> str:
        """The class that a group shows. All of its superpoints show the same one."""
        return self.index.classes.names[int(self.index.shows[match.superpoints[0]])]

    def _found_through(self, text: F4, by: By, match: groups.Match) -> FoundThrough | None:
        if by is By.cosine:
            return None
        index, classes, inside = self.index, self.index.classes, list(match.superpoints)
        count = index.count[inside]
        known = count @ index.mean_known[inside] / count.sum()
        if by is By.both:
            own = count @ index.mean[inside] / count.sum() @ text
            own += known @ similarity.own(classes, text[None])[:, 0]
            if own > known @ similarity.through_vocabulary(classes, text[None])[:, 0]:
                return None
        best = int((known[:-1] * classes.likeness(text)).argmax())
        gloss = classes.glosses[best] if classes.by_gloss(text)[best] else None
        return FoundThrough(classes.names[best], gloss)


@dataclass(frozen=True)
class FoundThrough:
    """The class through which a text found a group."""

    name: str  # of the class
    gloss: str | None  # what WordNet says of it, where the text is closer to that than to the name


@dataclass(frozen=True, eq=False)
class Answer:
    """What a scene answers to one text."""

    text: str
    negative: tuple[str, ...]  # texts for what is not meant
    score: F4  # f4[M] of the drawn points, NaN without a feature and where a negative text fits better
    matches: tuple[groups.Match, ...]  # the best groups
    shows: tuple[str, ...]  # the class of the vocabulary that each group shows
    through: tuple[FoundThrough | None, ...]  # the class through which each was found; None: by its features
    left_out: str  # the end of the text that the encoder does not read

    @functools.cached_property
    def heat(self) -> F4:
        """f4[M] in 0..1: the scores, scaled for colours."""
        return similarity.relative(self.score)

    @property
    def in_order(self) -> bool:
        """Whether the scores of the groups fall, as they are shown."""
        shown = [round(match.score, DECIMALS) for match in self.matches]
        return shown == sorted(shown, reverse=True)

    def placed(self, surface: Surface, world: World) -> Answer:
        """The answer with its groups placed in one of the worlds of `surface`, which was asked."""
        if world == "scene":
            return self
        xyz = surface.xyz_in(world)
        members = (np.isin(surface.superpoint, match.superpoints) for match in self.matches)
        matches = (
            groups.placed(match, xyz[inside]) for match, inside in zip(self.matches, members, strict=True)
        )
        return replace(self, matches=tuple(matches))

    def record(self) -> dict[str, Any]:
        """The answer as values for JSON, without the scores of points."""
        found = enumerate(zip(self.shows, self.through, self.matches, strict=True), 1)
        matches = [
            {"rank": rank, "shows": name, "found_as": through and asdict(through), **asdict(match)}
            for rank, (name, through, match) in found
        ]
        return {"text": self.text, "not": list(self.negative), "matches": matches}
