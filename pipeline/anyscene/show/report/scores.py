"""What the page shows of metrics.json: the ablation table, differences, classes, capability, confusion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from anyscene.show import charts, palette
from anyscene.study.literature import note
from anyscene.study.metrics_json import BEST_SINGLE
from anyscene.study.table import CONTROLS, splits, title

STEPS = ("capability", "superpoint_distillation", "ensembling")
DONE = {
    "capability": "fused by capability",
    "superpoint_distillation": "distilled into a 3D network",
    "ensembling": "refined by temporal ensembling",
}
MARKERS = ("circle", "triangle", "hexagon")  # of 2D models
FROM_PERCENT = 1.0  # columns of the confusion matrix below it for every class are left out


def headline(metrics: dict[str, Any]) -> list[tuple[str, float]]:
    """mIoU of the steps that matter, with what each is called; none where there is too little."""
    scores, best = metrics["semantic"], metrics["bootstrap"].get("best_single")
    steps = [row for row in STEPS if row in scores]
    if best is None or not steps:
        return []
    first = (f"mIoU of the best 2D model, {best}", scores[best]["mIoU"])
    return [first, *((DONE[row], scores[row]["mIoU"]) for row in steps)]


def table(metrics: dict[str, Any]) -> dict[str, Any] | None:
    """Lines of the ablation table; places on its axis in percent of the axis."""
    scores, doubt = metrics["semantic"], metrics["bootstrap"]
    if not scores:
        return None
    best = doubt.get("best_single")
    reach = 10 * np.ceil(max(v["high"] for v in doubt["mIoU"].values()) / 10) or 10
    controls = [row for row in scores if row in CONTROLS]
    lines = [
        {
            "title": title(row),
            "starts_controls": row in controls[:1],
            "delta": values["mIoU"] - scores[best]["mIoU"] if best and row != best else None,
            "low": doubt["mIoU"][row]["low"],
            "high": doubt["mIoU"][row]["high"],
            **values,
        }
        for row, values in scores.items()
    ]
    parts = splits(metrics)
    return {"lines": lines, "reach": float(reach), "best": best, "parts": parts, "literature": note(metrics)}


def differences(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """Pairs of rows with the interval of their difference; places in percent of an axis centred on 0."""
    pairs = metrics["bootstrap"].get("difference", {})
    reach = max((max(abs(v["low"]), abs(v["high"])) for v in pairs.values()), default=0) or 1
    found = []
    for pair, interval in pairs.items():
        a, b = (row if row == BEST_SINGLE else title(row).removeprefix("+ ") for row in pair.split(" - "))
        places = {f"{name}_at": 50 + 50 * value / reach for name, value in interval.items()}
        found.append({"a": a, "b": "best 2D model" if b == BEST_SINGLE else b, **interval, **places})
    return found


def classes(metrics: dict[str, Any], models: Sequence[str]) -> dict[str, Any] | None:
    """IoU of each class in the rows worth comparing: the 2D models, their fusion and the last step."""
    scores = metrics["semantic"]
    steps = [row for row in STEPS if row in scores]
    rows = dict(zip([model for model in models if model in scores], MARKERS, strict=False))
    rows |= dict.fromkeys(steps[:1], "square") | dict.fromkeys(steps[1:][-1:], "diamond")
    if not rows:
        return None
    last = scores[list(rows)[-1]]["per_class"]
    return {
        "series": [(title(row).removeprefix("+ "), marker) for row, marker in rows.items()],
        "lines": [
            (
                name,
                [
                    (title(row), marker, scores[row]["per_class"][name])
                    for row, marker in rows.items()
                    if name in scores[row]["per_class"]  # dropped points may be all of a class
                ],
            )
            for name in sorted(last, key=lambda name: -last[name])
        ],
    }


def scatters(metrics: dict[str, Any]) -> list[charts.Scatter]:
    """Capability against true IoU: of each model, and the difference of each pair of models."""
    section = metrics["capability"]
    known = {model: entry for model, entry in section["model"].items() if entry.get("true_iou")}
    found = []
    for model, entry in known.items():
        names = list(entry["true_iou"])
        measured = [entry["capability"][name] for name in names]
        note = _rank(entry["spearman"])
        found.append(charts.scatter(model, note, names, measured, list(entry["true_iou"].values())))
    for pair, entry in section["difference"].items():
        a, b = (known[model] for model in pair.split(" - "))
        names = [name for name in a["true_iou"] if name in b["true_iou"]]
        measured, true = (
            [a[key][name] - b[key][name] for name in names] for key in ("capability", "true_iou")
        )
        found.append(
            charts.scatter(pair.replace(" - ", " − "), _rank(entry["spearman"]), names, measured, true)
        )
    return found


def _rank(spearman: float | None) -> str:
    return "" if spearman is None else f"Spearman {spearman:.2f}"


def confusion(stored: dict[str, Any]) -> dict[str, Any] | None:
    """The last row's matrix out of confusion.json, in percent of each true class."""
    if stored["row"] is None:
        return None
    matrix = np.array(stored["confusion"][stored["row"]], np.float64)
    present = matrix.sum(1) > 0
    share = 100 * matrix[present] / matrix[present].sum(1, keepdims=True)
    names = np.array([*stored["names"], "nothing"])
    shown = np.append(present, False) | (share.max(0, initial=0) >= FROM_PERCENT)
    return {
        "title": title(stored["row"]).removeprefix("+ "),
        "columns": names[shown].tolist(),
        "lines": [
            (
                name,
                [
                    {"value": v, "colour": palette.hexadecimal(palette.heat(v / 100)), "dark": v < 60}
                    for v in row
                ],
            )
            for name, row in zip(names[:-1][present].tolist(), share[:, shown].tolist(), strict=True)
        ],
    }
