"""Semantic segmentation: the class of every point, and how predictions are scored."""

from anyscene.errors import EvaluationError
from anyscene.tasks.segmentation.metrics import (
    Metrics,
    Tally,
    confusion,
    evaluate,
    mean_iou,
    measure,
    per_class,
    tally,
)

__all__ = [
    "EvaluationError",
    "Metrics",
    "Tally",
    "confusion",
    "evaluate",
    "mean_iou",
    "measure",
    "per_class",
    "tally",
]
