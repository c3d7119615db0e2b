"""Semantic segmentation: the class of a point is the one whose prompt is closest to its feature."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from anyscene.arrays import I2, I8
from anyscene.datasets import LabelSet
from anyscene.tasks.layer import Layer, label_layer
from anyscene.tasks.segmentation.metrics import confusion, measure
from anyscene.tasks.truth import Annotation

if TYPE_CHECKING:
    from anyscene.tasks.features import Features
    from anyscene.tasks.surface import Surface
    from anyscene.tasks.task import Texts


@dataclass(frozen=True, eq=False)
class Labels:
    """The classes of a scene's points."""

    source: str  # of the features
    title: str  # of the source, for people
    label: I2  # i2[M], rows of the label set, -1 without a feature
    label_set: LabelSet

    @property
    def layer(self) -> Layer:
        """The points in the colours of their classes."""
        return label_layer(f"segmentation/{self.source}", self.title, self.label, self.label_set)


def labelled(features: Features, texts: Texts, points: I8 | None = None) -> Labels:
    """The classes of points. points: i8[M] in rising order; None: all."""
    label = texts.label_set.of_prompts(features.closest(texts.prompts, points)).astype(np.int16)
    return Labels(features.name, features.title, label, texts.label_set)


class Segmentation:
    """The task. Its scores are means over classes, in percent."""

    name, title = "segmentation", "classes"
    apart = True  # every source of features has such a layer already

    def answer(self, scene: Surface, features: Features, texts: Texts) -> Labels:
        return labelled(features, texts)

    def score(self, answers: Iterable[Labels], truth: Iterable[Annotation]) -> Mapping[str, float] | None:
        matrix: I8 | None = None
        for said, annotated in zip(answers, truth, strict=True):
            of_scene = confusion(annotated.label, said.label, len(annotated.label_set))
            matrix = of_scene if matrix is None else matrix + of_scene
        if matrix is None:
            return None
        metrics = measure(matrix, None, annotated.label_set, annotated.unpredicted)
        return {"mIoU": metrics.mIoU, "mAcc": metrics.mAcc}

    def layers(self, answer: Labels) -> Sequence[Layer]:
        return (answer.layer,)
