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
    run without annotation gives {}. All in percent, to hundredths (another count of threads changes the next
    digit), but for the correlation."""
    scores, found = metrics["semantic"], {}
    best = metrics["bootstrap"].get("best_single")
    mean_iou = {"best_2d_model": round(scores[best]["mIoU"], 2)} if best else {}
    mean_iou |= {row: round(scores[row]["mIoU"], 2) for row in ROWS if row in scores}
    if mean_iou:
        found["mIoU"] = mean_iou
    if last := next((row for row in FINAL if row in scores), None):
        found["last_step"] = {name: round(scores[last][name], 2) for name in ("f_mIoU", "mAcc")}
    ranks = [entry.get("spearman") for entry in metrics["capability"]["model"].values()]
    ranks = [rank for rank in ranks if rank is not None]
    if ranks:
        found["capability_spearman"] = round(float(np.mean(ranks)), 4)
    return found
