"""Annotation, as tasks are scored by it. Evaluation reads it, and exports carry it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anyscene.datasets import LabelSet
from anyscene.project import store
from anyscene.project.layout import Artefacts
from anyscene.tasks.segmentation.metrics import Unpredicted


@dataclass(frozen=True, eq=False)
class Truth:
    """The annotation of one scene."""

    scene: str  # id
    label: np.ndarray  # i2[N], rows of the label set, -1 = none
    instance: np.ndarray  # i4[N], -1 = none
    label_set: LabelSet
    unpredicted: Unpredicted = "error"  # what a point without an answer is

    @classmethod
    def read(
        cls, artefacts: Artefacts, scene: str, label_set: LabelSet, unpredicted: Unpredicted = "error"
    ) -> Truth:
        """Raises StoreError where the scene has none."""
        group = store.open_scene(store.scene_path(artefacts.data("labels"), scene))
        return cls(scene, group["label"][:], group["instance"][:], label_set, unpredicted)

    @classmethod
    def of(cls, artefacts: Artefacts, scene: str, label_set: LabelSet) -> Truth | None:
        """None where the scene has no annotation."""
        there = store.scene_path(artefacts.data("labels"), scene).is_dir()
        return cls.read(artefacts, scene, label_set) if there else None


def split_by_annotation(artefacts: Artefacts, split: str) -> tuple[list[str], list[str]]:
    """(scenes of the split with annotation, those without)."""
    scenes = store.split_ids(artefacts.data("scenes"), split)
    labels = artefacts.data("labels")
    known = set(store.scene_ids(labels)) if artefacts.has(labels) else set()
    return [scene for scene in scenes if scene in known], [scene for scene in scenes if scene not in known]
