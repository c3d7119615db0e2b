"""Several texts asked of one scene: scores of its points, and its groups of superpoints by rank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from pipeline import store
from pipeline.config import Params
from pipeline.evaluation import groups, query
from pipeline.evaluation.artefacts import Artefacts
from pipeline.text import TextEncoder, embeddings


class By(StrEnum):
    """How a point is compared with a text."""

    cosine = "cosine"
    vocabulary = "vocabulary"


class Unit(StrEnum):
    """What is ranked: single superpoints, or those joined that touch and show the same class."""

    object = "object"
    superpoint = "superpoint"


@dataclass(frozen=True, eq=False)
class Searched:
    """A scene, and the texts asked of it.

    xyz f4[N, 3], rgb u1[N, 3], normal f4[N, 3], face i4[F, 3], superpoint i4[N]; source: what gave the
    features; group: i4[L]; known: f4[N, V], similarity with the vocabulary, NaN without a feature.
    """

    scene: str
    source: str
    xyz: np.ndarray
    rgb: np.ndarray
    normal: np.ndarray
    face: np.ndarray
    superpoint: np.ndarray
    group: np.ndarray
    known: np.ndarray
    vocabulary: np.ndarray  # [V, C]
    feature: np.ndarray  # [N, C]
    valid: np.ndarray  # [N]

    def ask(self, encoder: TextEncoder, text: str, negative: Sequence[str], top: int, by: By) -> Found:
        """Where `text` is, and none of the `negative` texts: what is closer to one of these is left out."""
        positive, *others = (self._similarity(vector, by) for vector in encoder.encode([text, *negative]))
        left_out = query.closer_to(others, positive)
        matches = groups.ranked(positive, self.superpoint, self.group, self.xyz, left_out, top)
        return Found(text, tuple(negative), np.where(left_out, np.nan, positive), tuple(matches))

    def _similarity(self, text: np.ndarray, by: By) -> np.ndarray:
        if by is By.vocabulary:
            return query.through_vocabulary(self.known, self.vocabulary, text)
        return query.cosine(self.feature, self.valid, text)


@dataclass(frozen=True, eq=False)
class Found:
    """One text: score f4[N] of every point (NaN without a feature, and where it is
    closer to a text that is not meant), and the best groups."""

    text: str
    negative: tuple[str, ...]
    score: np.ndarray
    matches: tuple[groups.Match, ...]

    def record(self) -> dict[str, Any]:
        """For JSON, without the points."""
        matches = [{"rank": rank, **asdict(match)} for rank, match in enumerate(self.matches, 1)]
        return {"text": self.text, "not": list(self.negative), "matches": matches}


def open_scene(
    artefacts: Artefacts, scene: str, settings: Params, encoder: TextEncoder, source: str | None, unit: Unit
) -> Searched:
    """The scene with its features from `source` (see `query.scene_features`), ready to be asked.

    Raises StoreError naming the known scenes where it is none of them, and where there are no features.
    """
    group = store.open_imported(artefacts.data("scenes"), scene)
    xyz, face = group["xyz"][:], group["face"][:]
    superpoint = store.open_scene(store.scene_path(artefacts.data("superpoints"), scene))["superpoint"][:]
    feature, valid, source = query.scene_features(artefacts, scene, source)
    vocabulary = embeddings(encoder, settings.vocabulary, settings.text.template)
    known = query.cosine(feature, valid, vocabulary)
    alone = np.arange(int(superpoint.max(initial=-1)) + 1)
    joined = alone
    if unit is Unit.object:
        joined = groups.objects(known, superpoint, groups.touching(superpoint, xyz, face))
    return Searched(
        scene, source, xyz, group["rgb"][:], group["normal"][:], face, superpoint, joined, known, vocabulary,
        feature, valid,
    )  # fmt: skip
