"""A study of three scenes that fits on a sheet of paper: what was predicted of their points, as matrices.

The classes are wall, bed, chair and lamp; no point is a lamp, and the wall is background. Scenes a and b come
from the house h1, and c from h2. Rows of a matrix are true classes; its columns are the predicted classes,
the last one nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from anyscene.datasets import LabelSet
from anyscene.networks.trained import Description
from anyscene.project.parameters import Evaluation
from anyscene.study import metrics_json, rows
from anyscene.study.evaluation import Study
from anyscene.study.losses import Loss
from anyscene.study.rows import Row
from anyscene.tasks.segmentation import Tally

NAMES = ("wall", "bed", "chair", "lamp")
LABEL_SET = LabelSet(
    "sheet",
    NAMES,
    NAMES,
    np.array([[10, 20, 30], [200, 0, 0], [0, 200, 0], [0, 0, 200]], np.uint8),
    np.array([False, True, True, True]),
    ("head", "head", "common", "tail"),
)
SCENES, ORIGINS = ("a", "b", "c"), ("h1", "h1", "h2")
EVERY = {  # row -> for each scene what is said of walls, beds and chairs, among all classes
    "dense": [
        [[3, 1, 0, 0, 0], [0, 2, 0, 0, 0], [0, 0, 0, 0, 0]],
        [[3, 0, 0, 0, 1], [1, 1, 0, 0, 0], [0, 0, 2, 0, 0]],
        [[2, 0, 0, 0, 0], [0, 3, 0, 0, 1], [1, 0, 1, 0, 0]],
    ],
    "mask": [
        [[2, 2, 0, 0, 0], [0, 2, 0, 0, 0], [0, 0, 0, 0, 0]],
        [[4, 0, 0, 0, 0], [0, 1, 0, 1, 0], [0, 0, 1, 0, 1]],
        [[1, 1, 0, 0, 0], [2, 2, 0, 0, 0], [0, 1, 1, 0, 0]],
    ],
    "capability": [
        [[4, 0, 0, 0, 0], [0, 2, 0, 0, 0], [0, 0, 0, 0, 0]],
        [[4, 0, 0, 0, 0], [0, 2, 0, 0, 0], [0, 0, 1, 0, 1]],
        [[1, 0, 1, 0, 0], [0, 4, 0, 0, 0], [0, 0, 2, 0, 0]],
    ],
    "distilled": [
        [[3, 0, 1, 0, 0], [0, 2, 0, 0, 0], [0, 0, 0, 0, 0]],
        [[4, 0, 0, 0, 0], [0, 2, 0, 0, 0], [0, 0, 2, 0, 0]],
        [[1, 1, 0, 0, 0], [1, 3, 0, 0, 0], [0, 0, 1, 1, 0]],
    ],
}
FOREGROUND = {  # the same among beds, chairs and lamps, of beds and chairs
    "dense": [
        [[0, 2, 0, 0, 0], [0, 0, 0, 0, 0]],
        [[0, 1, 1, 0, 0], [0, 0, 2, 0, 0]],
        [[0, 3, 0, 0, 1], [0, 1, 1, 0, 0]],
    ],
    "mask": [
        [[0, 2, 0, 0, 0], [0, 0, 0, 0, 0]],
        [[0, 1, 0, 1, 0], [0, 0, 1, 0, 1]],
        [[0, 3, 1, 0, 0], [0, 1, 1, 0, 0]],
    ],
    "capability": [
        [[0, 2, 0, 0, 0], [0, 0, 0, 0, 0]],
        [[0, 2, 0, 0, 0], [0, 0, 1, 0, 1]],
        [[0, 4, 0, 0, 0], [0, 0, 2, 0, 0]],
    ],
    "distilled": [
        [[0, 2, 0, 0, 0], [0, 0, 0, 0, 0]],
        [[0, 2, 0, 0, 0], [0, 0, 2, 0, 0]],
        [[0, 3, 1, 0, 0], [0, 0, 1, 1, 0]],
    ],
}
ROWS = (
    Row(name="dense", title="2D model dense", role="2d_model", kind="dense", summary=False),
    Row(name="mask", title="2D model mask", role="2d_model", kind="mask", summary=False),
    Row(
        name="capability",
        title="capability fusion",
        role="fusion",
        kind="capability",
        against=("best single", "mask"),
    ),
    Row(
        name="distilled",
        title="superpoint distillation",
        role="network",
        kind="superpoint",
        fused="capability",
        against=("capability",),
    ),
    Row(
        name="shuffled",
        title="fusion by shuffled capability",
        role="fusion",
        kind="shuffled",
        control=True,
        summary=False,
    ),
)
DRAWN = Evaluation("val", "error", bootstrap=1000, controls=True, shuffles=2, seed=3, turns=1, label_sets=())
CAPABILITY = {"dense": np.array([0.5, 0.25, 0.75, 0.125]), "mask": np.array([0.25, 0.875, 0.5, 0.0625])}
TRUTH = {"dense": np.array([0.5, 0.375, 0.25, np.nan]), "mask": np.array([0.125, 0.75, 0.625, np.nan])}


def tallies(unpredicted: str = "error") -> metrics_json.SceneTallies:
    """What was predicted, scene by scene. The control has two variants: what either 2D model says."""
    found = metrics_json.SceneTallies(unpredicted)
    for place in range(len(SCENES)):
        of_row = {name: [_tally(name, place)] for name in EVERY}
        of_row["shuffled"] = [_tally("dense", place), _tally("mask", place)]
        for name, variants in of_row.items():
            found.add(name, variants)
    return found


def _tally(row: str, scene: int) -> Tally:
    none = [[0] * 5]
    return Tally(np.array(EVERY[row][scene] + none), np.array(none + FOREGROUND[row][scene] + none))


def metrics() -> dict[str, Any]:
    """All of metrics.json but what only a run knows: parameters, and what networks were trained on."""
    counted = tallies()
    scores = counted.metrics(LABEL_SET)
    doubt = metrics_json.doubt(counted, scores, ROWS, DRAWN, ORIGINS, "houses")
    found = {
        "rows": rows.section(ROWS),
        "semantic": metrics_json.semantic(scores),
        "bootstrap": doubt,
        "capability": metrics_json.capability(CAPABILITY, TRUTH, NAMES),
        "tasks": {
            "height": {"fusion": {"known": 62.54}, "distilled": {"off": 1.28, "known": 3.16}},
            "gaps": {"distilled": {"wide": 0.04}},
        },
        "label_set": "sheet",
        "absent": ["lamp"],
        "missing": {},
        "problems": [],
        "supervised": [],
        "split": "val",
        "scenes": list(SCENES),
        "unannotated": ["d"],
        "failed": {"e": "scenes: its mesh is damaged"},
        "points": 22,
        "unpredicted": "error",
        "turns": 1,
        "backend": {"distilled": "torch"},
        "seed": 3,
    }
    return metrics_json.rounded(found)


def study() -> Study:
    """The study, with the losses of its network."""
    network = Description("distilled", "superpoint distillation", "", None, False, "", Path())
    loss = Loss(network, np.array([0.0, 2.0, 5.0]), np.array([3.0, 1.5, 0.25]))
    return Study(metrics(), tallies(), [loss])


def distinct() -> dict[str, Any]:
    """metrics.json with everything that is shown of it, in which no two figures are equal where they are
    shown. So each of them can be told from all others by its place."""
    found = metrics()
    own = found["semantic"]
    other = {
        "semantic": {row: dict(scores) for row, scores in own.items()},
        "bootstrap": {"mIoU": {row: dict(doubt) for row, doubt in found["bootstrap"]["mIoU"].items()}},
        "absent": [],
        "points": 678,
    }
    figure = (1.04 + 0.3 * step for step in itertools.count())
    found["semantic"] = _other_figures(own, figure)
    for row, value in {"dense": 41.14, "mask": 38.44, "capability": 57.34, "distilled": 54.64}.items():
        found["semantic"][row]["mIoU"] = value
    found["semantic"]["shuffled"]["mIoU"] = 61.94
    found["bootstrap"]["mIoU"] = {
        row: _interval(scores["mIoU"], figure) for row, scores in found["semantic"].items()
    }
    for name, pair in found["bootstrap"]["difference"].items():
        pair |= _interval(-4.56 if name == "distilled - capability" else next(figure), figure)
    found["capability"] = {
        "model": {
            "dense": {
                "capability": {"wall": 11.14, "bed": 82.34, "chair": 45.64, "lamp": 93.24},
                "true_iou": {"wall": 21.54, "bed": 72.04, "chair": 35.24},
                "spearman": 0.61,
            },
            "mask": {
                "capability": {"wall": 61.44, "bed": 7.84, "chair": 52.94, "lamp": 88.24},
                "true_iou": {"wall": 66.64, "bed": 17.84, "chair": 40.44},
                "spearman": 0.12,
            },
        },
        "difference": {"dense - mask": {"spearman": -0.34}},
    }
    other["semantic"] = _other_figures(other["semantic"], figure)
    for row, scores in other["semantic"].items():
        other["bootstrap"]["mIoU"][row] = _interval(scores["mIoU"], figure)
    trained = {"input": "geometry", "from": "demo/student", "scenes": 17, "dataset": "demo"}
    found |= {"points": 12345, "label_sets": {"other": other}, "trained_on": {"distilled": trained}}
    return metrics_json.rounded(found)


def _other_figures(section: Any, figure: Iterator[float]) -> Any:
    if isinstance(section, dict):
        return {key: _other_figures(value, figure) for key, value in section.items()}
    return next(figure) if isinstance(section, float) else section


def _interval(value: float, figure: Iterator[float]) -> dict[str, float]:
    below, above = next(figure) / 10, next(figure) / 13
    return {"value": value, "mean": value + 0.1, "low": value - below, "high": value + above}
