"""Sections of metrics.json out of a few numbers, for what shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from anyscene.study.rows import CAPABILITY, Row, section

FUSIONS = {"add": "add", "linear": "linear", CAPABILITY: "capability fusion"}
CONTROLS = {"max": "more confident model", "swapped": "fusion by swapped capability"}
CONTROLS |= {"shuffled": "fusion by shuffled capability", "oracle": "fusion by true IoU"}
NETWORKS = {
    "pixelwise": Row(name="pixelwise", title="pixel distillation", role="network", kind="pixel"),
    "distilled": Row(
        name="distilled",
        title="superpoint distillation",
        role="network",
        kind="superpoint",
        against=(CAPABILITY, "pixelwise"),
    ),
    "ensembled": Row(
        name="ensembled",
        title="+ temporal ensembling",
        role="network",
        kind="ensembling",
        start="distilled",
        against=("distilled",),
    ),
}


def row(name: str) -> Row:
    """The row that an evaluation of these names has; of a name that says nothing, a 2D model's."""
    if name in NETWORKS:
        return NETWORKS[name]
    if name in FUSIONS:
        against = ("best single", "add", "linear", *CONTROLS) if name == CAPABILITY else ()
        return Row(name=name, title=FUSIONS[name], role="fusion", kind=name, against=against)
    if name in CONTROLS:
        summary = name in ("swapped", "oracle")
        return Row(name=name, title=CONTROLS[name], role="fusion", kind=name, control=True, summary=summary)
    if name == "superpoint":
        return Row(name=name, title="+ superpoint means", role="superpoints", kind="means")
    return Row(name=name, title=f"2D model {name}", role="2d_model", kind=name, summary=False)


def metrics(
    mean_iou: Mapping[str, float], *, best: str | None = None, missing: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """metrics.json of rows with these mIoU in percent; mAcc, f_mIoU and f_mAcc are 20, 10 and 30 more, and
    intervals reach one to both sides. best: the best 2D model; missing: row -> reason."""
    missing = dict(missing or {})
    return {
        "rows": section([row(name) for name in (*mean_iou, *missing)]),
        "semantic": {
            name: {"mIoU": v, "mAcc": v + 20, "f_mIoU": v + 10, "f_mAcc": v + 30, "per_class": {}}
            for name, v in mean_iou.items()
        },
        "bootstrap": {
            "scenes": 10,
            "mIoU": {name: {"low": v - 1, "high": v + 1} for name, v in mean_iou.items()},
            **({"best_single": best} if best else {}),
        },
        "capability": {"model": {}, "difference": {}},
        "tasks": {},
        "label_set": "scannet20",
        "split": "val",
        "scenes": [],
        "unannotated": [],
        "failed": {},
        "absent": [],
        "missing": missing,
        "supervised": [],
        "problems": [],
        "points": 10,
    }


def close(value: Any, within: float = 6e-5) -> Any:
    """A structure to compare with metrics.json: its floats may differ by what is lost to four decimals."""
    if isinstance(value, dict):
        return {key: close(item, within) for key, item in value.items()}
    return pytest.approx(value, abs=within) if isinstance(value, float) else value
