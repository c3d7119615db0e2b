"""Semantic segmentation scores out of confusion matrices: mIoU, mAcc and their foreground versions.

Rules: one matrix is accumulated over all points. A class that no annotated point has is left out of the means
and named. A point without a prediction is an error (ScanNet's benchmark script) or is dropped (OpenScene's
evaluation): `unpredicted`. The f-metrics know the foreground classes alone: others are never predicted, and
their points are ignored. Precision is TP / (TP + FP), 0 for a class that nothing was predicted as; mAcc is
the mean recall. Where a label set has splits (ScanNet200: head, common, tail), both means over each of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from anyscene.datasets import LabelSet
from anyscene.errors import EvaluationError

if TYPE_CHECKING:  # its module needs torch, and a list of tasks needs none of it
    from anyscene.text.text_space import Prediction

Unpredicted = Literal["error", "ignore"]


@dataclass(frozen=True, eq=False)
class Tally:
    """Confusion matrices i8[..., K, K+1]: row = truth, column = prediction, last column = no prediction."""

    every: np.ndarray
    foreground: np.ndarray

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.every + other.every, self.foreground + other.foreground)


@dataclass(frozen=True)
class Metrics:
    """Percent, over the classes that have annotated points."""

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
    target: np.ndarray,  # [N]
    prediction: np.ndarray,  # [N]
    label_set: LabelSet,
    *,
    foreground_prediction: np.ndarray | None = None,  # [N]
    unpredicted: Unpredicted = "error",
) -> Metrics:
    """Scores of one set of points.

    target: integers [N]; -1, or any other value outside 0..K-1, = not annotated, ignored.
    prediction: integers [N], -1 = none. foreground_prediction: the same, chosen among the classes of
    `label_set.foreground` only.
    Raises EvaluationError for arrays of different lengths or predictions that are no class.

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


def tally(target: np.ndarray, prediction: Prediction, label_set: LabelSet) -> Tally:
    """Both confusion matrices of N points; those of several scenes are added."""
    return Tally(
        confusion(target, prediction.label, len(label_set)),
        _foreground(target, prediction.foreground, label_set),
    )


def confusion(target: np.ndarray, prediction: np.ndarray, classes: int) -> np.ndarray:
    """i8[K, K+1]: how many annotated points of class `row` were predicted as `column`; column K = not at all.

    Raises EvaluationError for arrays of different lengths or predictions outside -1..K-1.
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


def _foreground(target: np.ndarray, prediction: np.ndarray, label_set: LabelSet) -> np.ndarray:
    matrix = confusion(target, prediction, len(label_set))
    if matrix[:, :-1][:, ~label_set.foreground].any():
        raise EvaluationError("foreground_prediction names a background class; choose among the others")
    matrix[~label_set.foreground] = 0
    return matrix


def per_class(matrix: np.ndarray, unpredicted: Unpredicted = "error") -> tuple[np.ndarray, np.ndarray]:
    """(IoU, accuracy) f8[..., K] in 0..1 of confusion matrices [..., K, K+1]; NaN where a class has no point.

    IoU = TP / (TP + FP + FN), accuracy = TP / (TP + FN), after Everingham et al. 2010 and Long et al. 2015.
    """
    square = matrix[..., :-1]
    right = np.diagonal(square, axis1=-2, axis2=-1).astype(np.float64)
    truth = (matrix if unpredicted == "error" else square).sum(-1)
    union = truth + square.sum(-2) - right
    with np.errstate(invalid="ignore"):
        iou, accuracy = right / np.where(truth, union, 0), right / truth
    return iou, accuracy


def precision(matrix: np.ndarray) -> np.ndarray:
    """f8[..., K] in 0..1 of confusion matrices [..., K, K+1], 0 where no annotated point was predicted so."""
    square = matrix[..., :-1]
    right = np.diagonal(square, axis1=-2, axis2=-1).astype(np.float64)
    return right / np.maximum(square.sum(-2), 1)


def mean_iou(matrix: np.ndarray, unpredicted: Unpredicted = "error") -> np.ndarray:
    """f8[...] mIoU in percent of confusion matrices [..., K, K+1]; 0 where nothing is annotated."""
    return 100 * _mean(per_class(matrix, unpredicted)[0])


def measure(
    every: np.ndarray, foreground: np.ndarray | None, label_set: LabelSet, unpredicted: Unpredicted = "error"
) -> Metrics:
    """The scores of accumulated confusion matrices [K, K+1]."""
    iou, accuracy = per_class(every, unpredicted)
    present = np.isfinite(iou)
    f_mean: tuple[float | None, float | None] = None, None
    if foreground is not None:
        f_iou, f_accuracy = per_class(foreground, unpredicted)
        f_mean = 100 * float(_mean(f_iou)), 100 * float(_mean(f_accuracy))

    def of_present(values: np.ndarray) -> dict[str, float]:
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


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis of what is not NaN, 0 where all is."""
    there = np.isfinite(values)
    return np.where(there, values, 0).sum(-1) / np.maximum(there.sum(-1), 1)
