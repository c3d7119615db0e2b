"""Several texts asked of one scene: its groups of superpoints by rank, and scores of its points.

The command line, the viewer and the benchmark of queries ask the same session. Ranks are by means over all
points and by a sample that does not depend on which points are drawn.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from anyscene.tasks.features import Features
from anyscene.tasks.query import groups, similarity
from anyscene.tasks.query.index import Index
from anyscene.tasks.query.similarity import By
from anyscene.tasks.query.thinning import spread
from anyscene.tasks.query.unit import SAMPLE as SAMPLE
from anyscene.tasks.query.unit import TOP as TOP
from anyscene.tasks.query.unit import Unit as Unit
from anyscene.tasks.surface import Surface
from anyscene.text import TextEncoder
from anyscene.text.glosses import Vocabulary


@dataclass(frozen=True, eq=False)
class Session:
    """A scene with the features of a source, ready to be asked."""

    scene: str  # id
    source: str  # of the features
    xyz: np.ndarray  # f4[N, 3], metres
    superpoint: np.ndarray  # i4[N]; empty where there are none, and then nothing is ranked
    index: Index
    group: np.ndarray  # i4[L], the group of each superpoint
    area: np.ndarray  # f8[L], square metres of each superpoint

    @classmethod
    def of(
        cls,
        surface: Surface,
        features: Features,
        classes: Vocabulary,
        unit: Unit = Unit.object,
        drawn: np.ndarray | None = None,
        sample: np.ndarray | None = None,
    ) -> Session:
        """drawn: i8[M], the points whose scores an answer has, in rising order; None: those of the sample.
        sample: spread(xyz, SAMPLE), which takes a second of a million points, where it is known."""
        superpoint, sample = surface.superpoint, spread(surface.xyz, SAMPLE) if sample is None else sample
        index = Index.of(features, superpoint, classes, sample, drawn)
        group, area = np.arange(len(index.count)), np.zeros(0)
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
        """Where `text` is, and none of the `negative` texts: what is closer to one of these is left out."""
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
        )

    def _ranked(
        self, texts: np.ndarray, by: By, sampled: np.ndarray, out: np.ndarray, top: int
    ) -> list[groups.Match]:
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
        """The class that a group shows; all of its superpoints show the same."""
        return self.index.classes.names[self.index.shows[match.superpoints[0]]]

    def _found_through(self, text: np.ndarray, by: By, match: groups.Match) -> FoundThrough | None:
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

    name: str
    gloss: str | None  # what WordNet says of it, where the text is closer to that than to the name


@dataclass(frozen=True, eq=False)
class Answer:
    """What a scene answers to one text."""

    text: str
    negative: tuple[str, ...]  # texts that are not meant
    score: np.ndarray  # f4[M] of the drawn points, NaN without a feature and where another text is meant
    matches: tuple[groups.Match, ...]  # the best groups
    shows: tuple[str, ...]  # the class of the vocabulary that each group shows
    through: tuple[FoundThrough | None, ...]  # by which each was found; None: by the features themselves

    @functools.cached_property
    def heat(self) -> np.ndarray:
        """f4[M] in 0..1: the scores for colours."""
        return similarity.relative(self.score)

    def record(self) -> dict[str, Any]:
        """For JSON, without the points."""
        found = enumerate(zip(self.shows, self.through, self.matches, strict=True), 1)
        matches = [
            {"rank": rank, "shows": name, "found_as": through and asdict(through), **asdict(match)}
            for rank, (name, through, match) in found
        ]
        return {"text": self.text, "not": list(self.negative), "matches": matches}
