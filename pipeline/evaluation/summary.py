"""The dozen figures of metrics.json that `dvc metrics` and `dvc exp show` have a column for."""

from __future__ import annotations

from typing import Any

import numpy as np

ROWS = (
    "add",
    "linear",
    "capability",
    "superpoint",
    "pixel_distillation",
    "superpoint_distillation",
    "ensembling",
    "swapped",
    "oracle",
)
FINAL = ("ensembling", "superpoint_distillation", "superpoint", "capability")  # the last step that there is


def summary(metrics: dict[str, Any]) -> dict[str, Any]:
    """mIoU of the best 2D model and of the ablation's rows; of the last step mAcc and f_mIoU besides; rank
    correlation of capability with true IoU, the mean over 2D models. Only what was measured is in it, so a
    run without annotation gives {}. All in percent but for the correlation."""
    scores, found = metrics["semantic"], {}
    best = metrics["bootstrap"].get("best_single")
    mean_iou = {"best_2d_model": scores[best]["mIoU"]} if best else {}
    mean_iou |= {row: scores[row]["mIoU"] for row in ROWS if row in scores}
    if mean_iou:
        found["mIoU"] = mean_iou
    if last := next((row for row in FINAL if row in scores), None):
        found["last_step"] = {"f_mIoU": scores[last]["f_mIoU"], "mAcc": scores[last]["mAcc"]}
    ranks = [entry.get("spearman") for entry in metrics["capability"]["model"].values()]
    ranks = [rank for rank in ranks if rank is not None]
    if ranks:
        found["capability_spearman"] = round(float(np.mean(ranks)), 4)
    return found
