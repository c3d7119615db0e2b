"""Instances: objects are groups of superpoints, and get their names by their features."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from anyscene.arrays import I4
from anyscene.datasets import LabelSet
from anyscene.tasks.instances import average_precision
from anyscene.tasks.instances.average_precision import (
    LabelledScene,
    NothingToFind,
    evaluate_instances,
    things,
)
from anyscene.tasks.instances.proposals import Proposals
from anyscene.tasks.layer import Layer, distinct_colours, label_layer

if TYPE_CHECKING:
    from anyscene.tasks.features import Features
    from anyscene.tasks.surface import Surface
    from anyscene.tasks.task import Texts
    from anyscene.tasks.truth import Annotation


@dataclass(frozen=True, eq=False)
class Objects:
    """The objects of a scene."""

    proposals: Proposals
    label_set: LabelSet

    def owner(self) -> I4:
        """i4[N]: the proposal with the highest score that holds each point, -1 = none."""
        masks = self.proposals.masks
        owner = np.full(masks.points, -1, np.int32)
        for index in np.argsort(self.proposals.score, kind="stable"):
            owner[masks[index]] = index
        return owner


class Instances:
    """The task. Superpoints that touch and show the same class are an object, whose score is the cosine of
    its mean feature with its name. The task is scored by average precision in percent, as in ScanNet's
    benchmark."""

    name, title = "instances", "objects"

    def answer(self, scene: Surface, features: Features, texts: Texts) -> Objects:
        from anyscene.tasks.query import groups
        from anyscene.tasks.query.index import Index
        from anyscene.tasks.query.similarity import cosine

        label_set = texts.label_set
        candidates = label_set.prompts_among(things(label_set))
        index = Index.of(features, scene.superpoint, texts.classes, np.arange(0))
        group = groups.objects(index.shows, groups.touching(scene.superpoint, scene.xyz, scene.face))
        found = Proposals.from_clusters(group, scene.superpoint, average_precision.SMALLEST)
        found = found.named(features, texts.prompts, candidates, label_set)
        mean, count = features.means(found.masks)
        likeness = cosine(mean, count > 0, texts.prompts[candidates]).max(1, initial=-1)
        return Objects(replace(found, score=np.nan_to_num(likeness, nan=-1).astype(np.float64)), label_set)

    def score(self, answers: Iterable[Objects], truth: Iterable[Annotation]) -> Mapping[str, float] | None:
        pairs = zip(answers, truth, strict=True)
        first = next(pairs, None)
        if first is None:
            return None
        scenes = (_labelled(*pair) for pair in chain([first], pairs))
        try:
            metrics = evaluate_instances(scenes, first[1].label_set)
        except NothingToFind:
            return None
        return {"AP": metrics.AP, "AP50": metrics.AP50, "AP25": metrics.AP25}

    def layers(self, answer: Objects) -> Sequence[Layer]:
        owner, label_set = answer.owner(), answer.label_set
        row = np.append(answer.proposals.rows(label_set.names), -1)[owner]
        return (
            Layer("instances/object", "objects", distinct_colours(owner)),
            label_layer("instances/name", "names of objects", row, label_set),
        )


def _labelled(said: Objects, annotated: Annotation) -> LabelledScene:
    found = said.proposals
    row = found.rows(annotated.label_set.names)
    return LabelledScene(annotated.label, annotated.instance, found.masks, row, found.score)
