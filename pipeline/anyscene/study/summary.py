"""The dozen figures of metrics.json for which `dvc metrics` and `dvc exp show` have a column."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from anyscene.study import rows


def summary(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The mIoU of the best 2D model and of the rows of the ablation; mAcc and f_mIoU of the last step; and
    the rank correlation of capability with true IoU, as the mean over 2D models. Only what was measured is in
    it, so a run without annotation gives {}. All but the correlation are in percent, rounded to hundredths,
    because another number of threads changes the next digit."""
    scores: Mapping[str, Any] = metrics["semantic"]
    found: dict[str, Any] = {}
    measured = rows.measured(metrics)
    best = metrics["bootstrap"].get("best_single")
    mean_iou: dict[str, float] = {"best_2d_model": round(scores[best]["mIoU"], 2)} if best else {}
    mean_iou |= {row.name: round(scores[row.name]["mIoU"], 2) for row in measured if row.summary}
    if mean_iou:
        found["mIoU"] = mean_iou
    if last := rows.last_step(measured):
        found["last_step"] = {name: round(scores[last.name][name], 2) for name in ("f_mIoU", "mAcc")}
    ranks = [entry.get("spearman") for entry in metrics["capability"]["model"].values()]
    ranks = [rank for rank in ranks if rank is not None]
    if ranks:
        found["capability_spearman"] = round(float(np.mean(ranks)), 4)
    return found
