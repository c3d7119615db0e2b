"""Several texts asked of one scene: scores of its points, and its groups of superpoints by rank."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from anyscene.datasets.rgbd import Rgbd
from anyscene.errors import StoreError
from anyscene.learning import Cloud
from anyscene.lifting import superpoints
from anyscene.project import store
from anyscene.project.layout import Artefacts
from anyscene.project.parameters import Params
from anyscene.tasks.query import groups, similarity
from anyscene.text import TextEncoder
from anyscene.text.glosses import Vocabulary


class By(StrEnum):
    """How a point is compared with a text."""

    both = "both"
    cosine = "cosine"
    vocabulary = "vocabulary"


class Unit(StrEnum):
    """What is ranked: single superpoints, or those joined that touch and show the same class."""

    object = "object"
    superpoint = "superpoint"


@dataclass(frozen=True, eq=False)
class Session:
    """A scene, and the texts asked of it.

    xyz f4[N, 3], rgb u1[N, 3], normal f4[N, 3], face i4[F, 3], superpoint i4[N]; source: what gave the
    features; group: i4[L]; area: f8[L], square metres of each superpoint; shown: i8[L], the class that each
    shows, -1 = none; known: f4[N, V], similarity with the names of the classes, NaN without a feature.
    """

    scene: str
    source: str
    xyz: np.ndarray
    rgb: np.ndarray
    normal: np.ndarray
    face: np.ndarray
    superpoint: np.ndarray
    group: np.ndarray
    area: np.ndarray
    shown: np.ndarray
    classes: Vocabulary
    known: np.ndarray
    feature: np.ndarray  # [N, C]
    valid: np.ndarray  # [N]

    def ask(self, encoder: TextEncoder, text: str, negative: Sequence[str], top: int, by: By) -> Answer:
        """Where `text` is, and none of the `negative` texts: what is closer to one of these is left out."""
        vector, *negatives = encoder.encode([text, *negative])
        through, own = self._parts(vector, by)
        positive, others = (
            similarity.both(through, own),
            [similarity.both(*self._parts(v, by)) for v in negatives],
        )
        left_out = similarity.closer_to(others, positive)
        scored = groups.by_superpoint(positive, left_out, self.superpoint, len(self.group))
        deviation = similarity.deviation(positive)
        matches = groups.ranked(*scored, deviation, self.superpoint, self.group, self.area, self.xyz, top)
        score = np.where(left_out, np.nan, positive)
        # all of a group show the same class
        shows = tuple(self.classes.names[self.shown[match.superpoints[0]]] for match in matches)
        behind = tuple(self._behind(vector, through, own, match) for match in matches)
        return Answer(text, tuple(negative), score, tuple(matches), shows, behind)

    def _parts(self, text: np.ndarray, by: By) -> tuple[np.ndarray | None, np.ndarray | None]:
        """f4[N] each: what the classes say of a text [C], and the features themselves; None: not asked."""
        through = None if by is By.cosine else similarity.through_vocabulary(self._share, self.classes, text)
        if by is By.vocabulary:
            return through, None
        own = similarity.cosine(self.feature, self.valid, text)
        return through, own if by is By.cosine else similarity.own(own, self._general, self.classes, text)

    def _behind(
        self, text: np.ndarray, through: np.ndarray | None, own: np.ndarray | None, match: groups.Match
    ) -> FoundThrough | None:
        member = np.flatnonzero(np.isin(self.superpoint, match.superpoints) & self.valid)
        if through is None or (own is not None and own[member].mean() > through[member].mean()):
            return None
        best = int((self._share[member].mean(0) * self.classes.likeness(text)).argmax())
        gloss = self.classes.glosses[best] if self.classes.by_gloss(text)[best] else None
        return FoundThrough(self.classes.names[best], gloss)

    @functools.cached_property
    def _share(self) -> np.ndarray:
        return similarity.shares(self.known)

    @functools.cached_property
    def _general(self) -> np.ndarray:
        return similarity.cosine(self.feature, self.valid, self.classes.common)


@dataclass(frozen=True)
class FoundThrough:
    """The class through which a text found a group, and its gloss where the text is closer to that than to
    the name."""

    name: str
    gloss: str | None


@dataclass(frozen=True, eq=False)
class Answer:
    """One text: score f4[N] of every point (NaN without a feature, and where it is closer to a text that is
    not meant), the best groups, the class of the vocabulary that each shows, and the class through which the
    text found it, None where it was the features themselves."""

    text: str
    negative: tuple[str, ...]
    score: np.ndarray
    matches: tuple[groups.Match, ...]
    shows: tuple[str, ...]
    behind: tuple[FoundThrough | None, ...]

    def record(self) -> dict[str, Any]:
        """For JSON, without the points."""
        found = enumerate(zip(self.shows, self.behind, self.matches, strict=True), 1)
        matches = [
            {"rank": rank, "shows": name, "found_as": behind and asdict(behind), **asdict(match)}
            for rank, (name, behind, match) in found
        ]
        return {"text": self.text, "not": list(self.negative), "matches": matches}


def open_scene(
    artefacts: Artefacts, scene: str, settings: Params, encoder: TextEncoder, source: str | None, unit: Unit
) -> Session:
    """The scene with its features from `source` (see `query.scene_features`), ready to be asked.

    Raises StoreError naming the known scenes where it is none of them, and where there are no features.
    """
    group = store.open_imported(artefacts.data("scenes"), scene)
    superpoint = store.open_scene(store.scene_path(artefacts.data("superpoints"), scene))["superpoint"][:]
    feature, valid, source = similarity.scene_features(artefacts, scene, source)
    arrays = (group[name][:] for name in ("xyz", "rgb", "normal", "face"))
    return _searched(scene, source, *arrays, superpoint, feature, valid, settings, encoder, unit)


def open_scan(
    artefacts: Artefacts, folder: Path, settings: Params, encoder: TextEncoder, source: str | None, unit: Unit
) -> Session:
    """A scan in the rgbd form that was not imported, with the features of a trained network, to be asked.

    Raises DataError naming the file, and StoreError where no network is trained, or `source` is none.
    """
    source = source or similarity.trained(artefacts)
    if source is None:
        raise StoreError(f"{artefacts.root / 'models'}: no trained network; run `dvc repro`")
    if source == "fusion":
        raise StoreError(
            "fusion: features of scenes that were imported; set dataset.root, run `dvc repro fusion` and "
            "give the scene's id, or take a network"
        )
    scene = Rgbd(
        folder.parent, settings.dataset.name, settings.scenes.frame_stride, settings.scenes.voxel
    ).read(folder.name)
    superpoint = superpoints.segment(scene.xyz, scene.normal, scene.face, settings.superpoints)
    cloud = Cloud(scene.id, scene.xyz, scene.rgb, superpoint)
    feature = similarity.network_features(artefacts, cloud, source)
    arrays = scene.xyz, scene.rgb, scene.normal, scene.face
    known = np.ones(len(feature), bool)
    return _searched(scene.id, source, *arrays, superpoint, feature, known, settings, encoder, unit)


def _searched(
    scene: str,
    source: str,
    xyz: np.ndarray,
    rgb: np.ndarray,
    normal: np.ndarray,
    face: np.ndarray,
    superpoint: np.ndarray,
    feature: np.ndarray,
    valid: np.ndarray,
    settings: Params,
    encoder: TextEncoder,
    unit: Unit,
) -> Session:
    classes = Vocabulary.of(encoder, settings.vocabulary, settings.text.template)
    known = similarity.cosine(feature, valid, classes.name)
    shown = groups.classes(known, superpoint)
    joined, area = np.arange(len(shown)), groups.areas(superpoint, xyz, face)
    if unit is Unit.object:
        joined = groups.objects(shown, groups.touching(superpoint, xyz, face))
    return Session(
        scene, source, xyz, rgb, normal, face, superpoint, joined, area, shown, classes, known,
        feature, valid,
    )  # fmt: skip
