"""Average precision of labelled proposals by the rule of ScanNet's benchmark (evaluate_semantic_instance.py).

An object is a set of points; a proposal is one with a class and a score. At an overlap t, each scene is
scored by itself. An object's candidates are the proposals of its class whose IoU with it is above t and that
no earlier object has taken. The object takes the first of them. The best of their scores counts as right, and
each of the others as wrong. An object without a candidate is missed. A proposal whose IoU is above t with no
object of its class is wrong, unless more than t of it is ignored: points of no object, and objects of the
class with fewer than SMALLEST points. Proposals with fewer than SMALLEST points do not count. A proposal
whose IoU is above t with an object that has taken another stays free for the next object; that happens only
below t = 1/2.

AP is the area under precision over recall, by trapezoids in recall from score to score, with precision 1 at
recall 0. It is the mean over the overlaps 0.5, 0.55, ..., 0.9; AP50 and AP25 are at one overlap. Means are
over the classes that have objects.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from anyscene.arrays import B1, F8, I8, Integers
from anyscene.datasets import LabelSet
from anyscene.errors import EvaluationError
from anyscene.tasks.point_masks import PointMasks

OVERLAPS = np.append(np.arange(0.5, 0.95, 0.05), 0.25)  # the same floats as in ScanNet's script
SMALLEST = 100  # points of an object or a proposal that counts, at least
STUFF = ("wall", "floor")  # classes that have no objects in ScanNet's and ScanNet200's benchmark


class NothingToFind(EvaluationError):
    """The annotation has no object that counts."""


@dataclass(frozen=True, eq=False)
class LabelledScene:
    """The annotation of N points and P proposals, these in the order of their file."""

    target: Integers  # i[N], rows of the label set, -1 = none
    instance: Integers  # i[N], -1 = none
    masks: PointMasks  # P masks of N points
    label: Integers  # i[P], the class of each proposal, a row of the label set, -1 = none
    score: F8  # f8[P], of each proposal


@dataclass(frozen=True)
class InstanceMetrics:
    """Average precision in percent, as means over the classes that have objects."""

    AP: float  # the mean over overlaps from 0.5 to 0.9
    AP50: float  # at an overlap of 0.5
    AP25: float  # at an overlap of 0.25
    per_class: dict[str, tuple[float, float, float]]  # AP, AP50, AP25 of each class that has objects
    absent: tuple[str, ...]  # the classes that have none


@dataclass(frozen=True, eq=False)
class _Overlaps:
    """P proposals and G objects of one class in one scene."""

    iou: F8  # f8[P, G]
    score: F8  # f8[P]
    ignored: F8  # f8[P], the share of each proposal that belongs to no object
    counted: B1  # b1[G], whether an object is large enough


def things(label_set: LabelSet) -> I8:
    """i8: the rows of the label set that are classes of objects."""
    return np.flatnonzero([name not in STUFF for name in label_set.names])


def evaluate_instances(scenes: Iterable[LabelledScene], label_set: LabelSet) -> InstanceMetrics:
    """The scores over all scenes. Raises EvaluationError for arrays that do not fit each other, and
    NothingToFind where no class has an object of SMALLEST points or more."""
    classes = things(label_set)
    found: dict[int, list[_Overlaps]] = {int(row): [] for row in classes}
    for scene in scenes:
        _check(scene)
        void = ~np.isin(scene.target, classes) | (scene.instance < 0)
        size = scene.masks.sizes()
        for row, overlaps in found.items():
            overlaps.append(_of_class(scene, row, void, size))
    ap = np.array(
        [[_average_precision(found[row], t) for t in OVERLAPS] for row in found]
    )  # [classes, overlaps]
    there = ~np.isnan(ap[:, 0])
    if not there.any():
        raise NothingToFind(f"no scene has an annotated object of {SMALLEST} points; nothing to score")
    each = 100 * np.column_stack([ap[:, :-1].mean(1), ap[:, 0], ap[:, -1]])  # [classes, 3]
    names = [label_set.names[row] for row in found]
    mean = each[there].mean(0)
    return InstanceMetrics(
        float(mean[0]),
        float(mean[1]),
        float(mean[2]),
        {
            name: (float(ap), float(ap50), float(ap25))
            for name, (ap, ap50, ap25), has in zip(names, each, there, strict=True)
            if has
        },
        tuple(name for name, has in zip(names, there, strict=True) if not has),
    )


def _check(scene: LabelledScene) -> None:
    points, proposals = scene.target.shape, scene.label.shape
    masks = (len(scene.masks), scene.masks.points)
    if scene.instance.shape != points or masks != proposals + points:
        raise EvaluationError(
            f"masks {list(masks)} and instances {list(scene.instance.shape)} for "
            f"{list(proposals)} proposals of {list(points)} points; all must fit"
        )
    if scene.score.shape != proposals or not np.isfinite(scene.score).all():
        raise EvaluationError("every proposal needs a finite score")


def _of_class(scene: LabelledScene, row: int, void: B1, size: I8) -> _Overlaps:
    chosen = np.flatnonzero((scene.label == row) & (size >= SMALLEST))
    points = np.flatnonzero((scene.target == row) & (scene.instance >= 0))
    _, owner = np.unique(scene.instance[points], return_inverse=True)
    count = np.bincount(owner)  # [G]
    size = size[chosen, None]
    common, ignored = np.zeros((len(chosen), len(count))), np.zeros(len(chosen))  # [P, G], [P]
    for index, proposal in enumerate(chosen):
        inside = scene.masks[int(proposal)]
        common[index] = np.bincount(owner[inside[points]], minlength=len(count))
        ignored[index] = np.count_nonzero(inside & void)
    counted = count >= SMALLEST
    ignored += common[:, ~counted].sum(1)
    return _Overlaps(common / (size + count - common), scene.score[chosen], ignored / size[:, 0], counted)


def _average_precision(scenes: list[_Overlaps], threshold: float) -> float:
    """The average precision of one class in 0..1, NaN where it has no object."""
    of_right: list[float] = []
    of_wrong: list[float] = []
    missed = sum(_assign(scene, threshold, of_right, of_wrong) for scene in scenes)
    if not of_right and not missed:
        return float("nan")
    if not of_right:
        return 0.0
    right, wrong = np.sort(of_right), np.sort(of_wrong)
    score = np.unique(np.concatenate([right, wrong]))
    true = len(right) - np.searchsorted(right, score)  # with that score or a higher one
    false = len(wrong) - np.searchsorted(wrong, score)
    precision = np.append(true / (true + false), 1.0)
    recall = np.append(true / (len(right) + missed), 0.0)
    around = np.concatenate([recall[:1], recall, [0.0]])
    return float(precision @ (around[:-2] - around[2:]) / 2)


def _assign(scene: _Overlaps, threshold: float, right: list[float], wrong: list[float]) -> int:
    """Append the scores of right and wrong proposals, and return how many objects are missed."""
    above, missed = scene.iou > threshold, 0
    taken = np.zeros(len(scene.score), bool)
    for thing in np.flatnonzero(scene.counted):
        candidates = np.flatnonzero(above[:, thing] & ~taken)
        if not len(candidates):
            missed += 1
            continue
        taken[candidates[0]] = True
        *others, best = sorted(scene.score[candidates].tolist())
        right.append(best)
        wrong += others
    lost = ~above.any(1) & (scene.ignored <= threshold)
    wrong += scene.score[lost].tolist()
    return missed
