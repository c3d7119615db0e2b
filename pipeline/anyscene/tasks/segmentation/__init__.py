"""How good predictions are: scores, the rows of the ablation, capability against truth, doubt."""

from anyscene.tasks.segmentation.metrics import (
    EvaluationError,
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
