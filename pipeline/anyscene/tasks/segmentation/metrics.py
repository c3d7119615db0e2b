"""Scores of semantic segmentation from confusion matrices: mIoU, mAcc, and both for the foreground.

One matrix is accumulated over all points. A class that no annotated point has is left out of the means and
listed. A point without a prediction is an error (as in ScanNet's benchmark script) or is dropped (as from
OpenScene's IoU; in its accuracy it is an error); `unpredicted` says which. The f-metrics are those of the
foreground classes: other classes are never predicted, and their points are ignored. Precision is TP / (TP +
FP), and 0 for a class that was never predicted; mAcc is the mean recall. Where a label set has splits
(ScanNet200: head, common, tail), both means are computed over each of them as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from anyscene.arrays import F8, I8, Integers
from anyscene.datasets import LabelSet
from anyscene.errors import EvaluationError
from anyscene.project.parameters import Unpredicted

if TYPE_CHECKING:  # its module needs torch, and a list of tasks needs none of it
    from anyscene.text.text_space import Prediction


@dataclass(frozen=True, eq=False)
class Tally:
    """Confusion matrices: row = truth, column = prediction, last column = no prediction."""

    every: I8  # i8[..., K, K+1], predictions among all classes
    foreground: I8  # i8[..., K, K+1], predictions among the foreground classes

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.every + other.every, self.foreground + other.foreground)


@dataclass(frozen=True)
class Metrics:
    """Scores in percent, over the classes that have annotated points."""

    mIoU: float  # mean over classes of the intersection over union of prediction and truth
    mAcc: float  # mean over classes of the share of a class's points that are right
    f_mIoU: float | None  # of the foreground classes; None where no prediction among them was given
    f_mAcc: float | None  # as f_mIoU
    per_class: dict[str, float]  # IoU of each class
    precision: dict[str, float]  # of each class
    recall: dict[str, float]  # of each class
    splits: dict[str, dict[str, float]]  # mIoU and mAcc of each of the label set's splits that has a class
    absent: tuple[str, ...]  # classes without annotated points


def evaluate(
    target: Integers,  # [N]
    prediction: Integers,  # [N]
    label_set: LabelSet,
    *,
    foreground_prediction: Integers | None = None,  # [N]
    unpredicted: Unpredicted = "error",
) -> Metrics:
    """The scores of one set of points.

    target: i[N], the true class; points with -1, or any other value outside 0..K-1, are not annotated and are
    ignored. prediction: i[N], -1 = none. foreground_prediction: the same, chosen only among the classes of
    `label_set.foreground`.
    Raises EvaluationError for arrays of different lengths and for predictions that are no class.

    >>> classes = anyscene.label_set("scannet20")
    >>> wall, floor, none = 0, 1, -1
    >>> target = np.array([wall, wall, floor, floor, none])
    >>> said = np.array([wall, floor, floor, floor, wall])
    >>> metrics = anyscene.evaluate(target, said, classes)
    >>> {name: round(iou, 1) for name, iou in metrics.per_class.items()}
    {'wall': 50.0, 'floor': 66.7}
    >>> round(metrics.mIoU, 1), round(metrics.mAcc, 1)
    (58.3, 75.0)
    """
    every = confusion(target, prediction, len(label_set))
    if foreground_prediction is None:
        return measure(every, None, label_set, unpredicted)
    return measure(every, _foreground(target, foreground_prediction, label_set), label_set, unpredicted)


def tally(target: Integers, prediction: Prediction, label_set: LabelSet) -> Tally:
    """Both confusion matrices of N points. Those of several scenes can be added."""
    return Tally(
        confusion(target, prediction.label, len(label_set)),
        _foreground(target, prediction.foreground, label_set),
    )


def confusion(target: Integers, prediction: Integers, classes: int) -> I8:
    """i8[K, K+1]: how many annotated points of class `row` were predicted as `column`, which is K for points
    without a prediction.

    Raises EvaluationError for arrays of different lengths and for predictions outside -1..K-1.
    """
    target, prediction = np.asarray(target), np.asarray(prediction)
    if target.shape != prediction.shape or target.ndim != 1:
        raise EvaluationError(
            f"{list(prediction.shape)} predictions for {list(target.shape)} labels; both must be [N]"
        )
    if prediction.size and not (-1 <= prediction.min() and prediction.max() < classes):
        raise EvaluationError(f"predictions must lie in -1..{classes - 1}, rows of the label set")
    annotated = (target >= 0) & (target < classes)
    said = prediction[annotated].astype(np.int64)
    cell = target[annotated].astype(np.int64) * (classes + 1) + np.where(said < 0, classes, said)
    return np.bincount(cell, minlength=classes * (classes + 1)).reshape(classes, classes + 1)


def _foreground(target: Integers, prediction: Integers, label_set: LabelSet) -> I8:
    matrix = confusion(target, prediction, len(label_set))
    if matrix[:, :-1][:, ~label_set.foreground].any():
        raise EvaluationError("foreground_prediction names a background class; choose among the others")
    matrix[~label_set.foreground] = 0
    return matrix


def per_class(matrix: I8, unpredicted: Unpredicted = "error") -> tuple[F8, F8]:
    """(IoU f8[..., K], accuracy f8[..., K]) in 0..1 of confusion matrices i8[..., K, K+1]; NaN where a class
    has no point.

    IoU = TP / (TP + FP + FN) (Everingham et al. 2010), accuracy = TP / (TP + FN) (Long et al. 2015).
    """
    counts = class_counts(matrix, unpredicted)
    with np.errstate(invalid="ignore"):
        accuracy = counts[..., 0, :].astype(np.float64) / counts[..., 1, :]
    return _iou(counts), accuracy


def class_counts(matrix: I8, unpredicted: Unpredicted = "error") -> I8:
    """i8[..., 3, K]: how many points of each class are right, annotated as it, and either annotated or
    predicted as it (the union), of confusion matrices i8[..., K, K+1]. These add up over scenes, and take
    3 / (K + 1) of the memory of a matrix."""
    square = matrix[..., :-1]
    right = np.diagonal(square, axis1=-2, axis2=-1)
    truth = (matrix if unpredicted == "error" else square).sum(-1)
    return np.stack([right, truth, truth + square.sum(-2) - right], -2)


def _iou(counts: Integers | F8) -> F8:
    right, truth, union = np.moveaxis(counts, -2, 0)
    with np.errstate(invalid="ignore"):
        iou: F8 = right.astype(np.float64) / np.where(truth, union, 0)
    return iou


def precision(matrix: I8) -> F8:
    """f8[..., K]: the precision of each class in 0..1, of confusion matrices i8[..., K, K+1]; 0 where no
    annotated point was predicted as the class."""
    square = matrix[..., :-1]
    right = np.diagonal(square, axis1=-2, axis2=-1).astype(np.float64)
    share: F8 = right / np.maximum(square.sum(-2), 1)
    return share


def mean_iou(matrix: I8, unpredicted: Unpredicted = "error") -> F8:
    """f8[...]: the mIoU in percent of confusion matrices i8[..., K, K+1]; 0 where nothing is annotated."""
    return counted_miou(class_counts(matrix, unpredicted))


def counted_miou(counts: Integers | F8) -> F8:
    """f8[...]: the mIoU in percent of counts [..., 3, K], as `class_counts` gives them or summed; 0 where
    nothing is annotated."""
    return 100 * _mean(_iou(counts))


def measure(
    every: I8, foreground: I8 | None, label_set: LabelSet, unpredicted: Unpredicted = "error"
) -> Metrics:
    """The scores of accumulated confusion matrices i8[K, K+1]. foreground: None where there are no
    predictions among the foreground classes."""
    iou, accuracy = per_class(every, unpredicted)
    present = np.isfinite(iou)
    f_mean: tuple[float | None, float | None] = None, None
    if foreground is not None:
        f_iou, f_accuracy = per_class(foreground, unpredicted)
        f_mean = 100 * float(_mean(f_iou)), 100 * float(_mean(f_accuracy))

    def of_present(values: F8) -> dict[str, float]:
        every = zip(label_set.names, values, present, strict=True)
        return {name: 100 * float(value) for name, value, there in every if there}

    of_split = {
        name: present & (np.array(label_set.split) == name) for name in dict.fromkeys(label_set.split)
    }
    return Metrics(
        100 * float(_mean(iou)),
        100 * float(_mean(accuracy)),
        *f_mean,
        of_present(iou),
        of_present(precision(every)),
        of_present(accuracy),
        {
            name: {"mIoU": 100 * float(_mean(iou[rows])), "mAcc": 100 * float(_mean(accuracy[rows]))}
            for name, rows in of_split.items()
            if name and rows.any()
        },
        tuple(name for name, there in zip(label_set.names, present, strict=True) if not there),
    )


def _mean(values: F8) -> F8:
    """The mean over the last axis without NaN; 0 where all is NaN."""
    there = np.isfinite(values)
    mean: F8 = np.where(there, values, 0).sum(-1) / np.maximum(there.sum(-1), 1)
    return mean
