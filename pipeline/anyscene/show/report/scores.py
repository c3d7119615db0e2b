"""What the page shows of metrics.json: the table of the ablation, differences, classes, capability,
confusion."""

from __future__ import annotations

from typing import Any

import numpy as np

from anyscene.show import charts, palette
from anyscene.study import rows
from anyscene.study.literature import differences as differences_from_published
from anyscene.study.literature import note
from anyscene.study.rows import BEST_SINGLE
from anyscene.study.table import drawn, splits, supervised
from anyscene.study.trained_on import said

MARKERS = ("circle", "triangle", "hexagon")  # of 2D models
FROM_PERCENT = 1.0  # columns of the confusion matrix that stay below it for every class are left out


def shown(metrics: dict[str, Any] | None) -> dict[str, Any]:
    """What the sections of the page show of metrics.json, by their names in the template."""
    if metrics is None:
        return dict.fromkeys(("table", "label_sets", "classes")) | {
            "headline": [],
            "differences": [],
            "scatters": [],
        }
    return {
        "headline": headline(metrics),
        "table": table(metrics),
        "label_sets": label_sets(metrics),
        "differences": differences(metrics),
        "classes": classes(metrics),
        "scatters": scatters(metrics),
    }


def headline(metrics: dict[str, Any]) -> list[tuple[str, float]]:
    """(title, mIoU) of the steps that matter; none where too little was measured."""
    scores, best = metrics["semantic"], metrics["bootstrap"].get("best_single")
    steps = rows.steps(rows.measured(metrics))
    if best is None or not steps:
        return []
    first = (f"mIoU of the best 2D model, {best}", scores[best]["mIoU"])
    return [first, *((row.plain_title, scores[row.name]["mIoU"]) for row in steps)]


def table(metrics: dict[str, Any]) -> dict[str, Any] | None:
    """The lines of the table of the ablation. Places on its axis are in percent of the axis."""
    scores, doubt = metrics["semantic"], metrics["bootstrap"]
    if not scores:
        return None
    best = doubt.get("best_single")
    reach = 10 * np.ceil(max(v["high"] for v in doubt["mIoU"].values()) / 10) or 10
    measured = rows.measured(metrics)
    first_control = next((row for row in measured if row.control), None)
    lines = [
        {
            "title": row.title,
            "starts_controls": row is first_control,
            "delta": scores[row.name]["mIoU"] - scores[best]["mIoU"] if best and row.name != best else None,
            "low": doubt["mIoU"][row.name]["low"],
            "high": doubt["mIoU"][row.name]["high"],
            **scores[row.name],
        }
        for row in measured
    ]
    return {
        "lines": lines,
        "reach": float(reach),
        "best": best,
        "parts": splits(metrics),
        "drawn": drawn(metrics),
        "literature": note(metrics),
        "unlike": differences_from_published(metrics),
        "supervised": supervised(metrics),
        "networks": said(metrics),
        "first_weights": any(row.control and row.role == "network" for row in measured),
    }


def label_sets(metrics: dict[str, Any]) -> dict[str, Any] | None:
    """The scores of the rows by other label sets; None where there are none."""
    sets = metrics.get("label_sets", {})
    if not sets or not metrics["semantic"]:
        return None
    lines = [
        (
            row.title,
            [
                of_set["semantic"][row.name] | of_set["bootstrap"]["mIoU"][row.name]
                for of_set in sets.values()
            ],
        )
        for row in rows.measured(metrics)
    ]
    notes = [said for name in sets if (said := note(metrics, name)) is not None]
    return {"names": list(sets), "lines": lines, "drawn": drawn(metrics), "notes": notes}


def differences(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """Pairs of rows with the interval of their difference. Places are in percent of an axis with 0 in its
    middle."""
    pairs = metrics["bootstrap"].get("difference", {})
    reach = max((max(abs(v["low"]), abs(v["high"])) for v in pairs.values()), default=0) or 1
    titles = {row.name: row.plain_title for row in rows.of(metrics)} | {BEST_SINGLE: "best 2D model"}
    found = []
    for row in rows.of(metrics):
        for other in row.against:
            if interval := pairs.get(f"{row.name} - {other}"):
                places = {f"{name}_at": 50 + 50 * value / reach for name, value in interval.items()}
                found.append({"a": row.plain_title, "b": titles[other], **interval, **places})
    return found


def classes(metrics: dict[str, Any]) -> dict[str, Any] | None:
    """The IoU of each class in the rows that are worth comparing: the 2D models, their fusion, the last
    step."""
    scores, measured = metrics["semantic"], rows.measured(metrics)
    steps = rows.steps(measured)
    single = [row for row in measured if row.role == "2d_model"]
    marked = list(zip(single, MARKERS, strict=False))
    marked += [(row, "square") for row in steps if row.role == "fusion"]
    marked += [(row, "diamond") for row in steps[-1:] if row.role != "fusion"]
    if not marked:
        return None
    last = scores[marked[-1][0].name]["per_class"]
    return {
        "series": [(row.plain_title, marker) for row, marker in marked],
        "lines": [
            (
                name,
                [
                    (row.title, marker, scores[row.name]["per_class"][name])
                    for row, marker in marked
                    if name in scores[row.name]["per_class"]  # dropped points may be all of a class
                ],
            )
            for name in sorted(last, key=lambda name: -last[name])
        ],
    }


def scatters(metrics: dict[str, Any]) -> list[charts.Scatter]:
    """Capability against true IoU for each model, and their differences for each pair of models."""
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


def confusion(stored: dict[str, Any] | None, metrics: dict[str, Any] | None) -> dict[str, Any] | None:
    """The matrix of the last row in confusion.json, in percent of each true class."""
    if stored is None or stored["row"] is None:
        return None
    titles = {row.name: row.plain_title for row in rows.of(metrics)} if metrics else {}
    matrix = np.array(stored["confusion"][stored["row"]], np.float64)
    present = matrix.sum(1) > 0
    share = 100 * matrix[present] / matrix[present].sum(1, keepdims=True)
    names = np.array([*stored["names"], "nothing"])
    shown = np.append(present, False) | (share.max(0, initial=0) >= FROM_PERCENT)
    return {
        "title": titles.get(stored["row"], stored["row"]),
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
