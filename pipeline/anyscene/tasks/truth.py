"""Annotation, by which tasks are scored. Evaluation reads it, and exports carry it."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

from anyscene.arrays import I2, I4
from anyscene.datasets import LabelSet
from anyscene.project import store
from anyscene.project.layout import Artefacts
from anyscene.project.parameters import Unpredicted


@dataclass(frozen=True, eq=False)
class Annotation:
    """The annotation of one scene."""

    scene: str  # id
    label: I2  # i2[N], rows of the label set, -1 = none
    instance: I4  # i4[N], -1 = none
    label_set: LabelSet
    unpredicted: Unpredicted = "error"  # how a point without an answer counts

    @classmethod
    def read(
        cls, artefacts: Artefacts, scene: str, label_set: LabelSet, unpredicted: Unpredicted = "error"
    ) -> Annotation:
        """Read the annotation of `scene`. Raises StoreError where it has none."""
        group = store.open_scene(store.scene_path(artefacts.data("labels"), scene))
        return cls(scene, group["label"][:], group["instance"][:], label_set, unpredicted)

    @classmethod
    def of(cls, artefacts: Artefacts, scene: str, label_set: LabelSet) -> Annotation | None:
        """None where the scene has no annotation."""
        there = store.scene_path(artefacts.data("labels"), scene).is_dir()
        return cls.read(artefacts, scene, label_set) if there else None


def split_by_annotation(
    artefacts: Artefacts, split: str, without: Container[str] = ()
) -> tuple[list[str], list[str]]:
    """The scenes of the split with annotation, and those without; but for those of `without`."""
    scenes = [one for one in store.split_ids(artefacts.data("scenes"), split) if one not in without]
    labels = artefacts.data("labels")
    known = set(store.scene_ids(labels)) if artefacts.has(labels) else set()
    return [scene for scene in scenes if scene in known], [scene for scene in scenes if scene not in known]
