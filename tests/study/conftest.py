"""A small study of made-up scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from anyscene.datasets import label_set
from anyscene.networks.trained import Description
from anyscene.project.parameters import Evaluation
from anyscene.study import metrics_json, rows
from anyscene.study.evaluation import Study
from anyscene.study.losses import Loss
from anyscene.tasks.segmentation import tally
from anyscene.text.text_space import Prediction
from tests.builders import figures

SCANNET = label_set("scannet20")
RESAMPLED = Evaluation(
    "val", "error", bootstrap=50, controls=True, shuffles=3, seed=0, turns=1, label_sets=()
)


def a_prediction(target, right, rng):
    guess = rng.integers(0, 20, len(target))
    label = np.where(rng.random(len(target)) < right, target, guess).astype(np.int16)
    return Prediction(label, np.where(SCANNET.foreground[label], label, 4).astype(np.int16))


@pytest.fixture
def scenes():
    """The tallies of five scenes: for each the variants of every row."""
    rng, found = np.random.default_rng(0), []
    for _ in range(5):
        target = rng.integers(-1, 19, 400).astype(np.int16)
        of_rows = {
            row: [tally(target, a_prediction(target, right, rng), SCANNET)]
            for row, right in (("dense", 0.4), ("mask", 0.3), ("add", 0.45), ("capability", 0.6))
        }
        shuffled = [tally(target, a_prediction(target, 0.3, rng), SCANNET) for _ in range(3)]
        found.append(of_rows | {"shuffled": shuffled})
    return found


@pytest.fixture
def tallies(scenes):
    tallies = metrics_json.SceneTallies("error")
    for scene in scenes:
        for row, variants in scene.items():
            tallies.add(row, variants)
    return tallies


@pytest.fixture
def study(tallies):
    scores = tallies.metrics(SCANNET)
    candidates = [figures.row(name) for name in (*scores, "distilled", "ensembled")]
    measured = {"dense": np.array([0.5, 0.1, 0.3, 0.2]), "mask": np.array([0.2, 0.4, 0.1, 0.3])}
    truth = {"dense": np.array([0.6, 0.2, 0.3, np.nan]), "mask": np.array([0.1, 0.6, 0.2, np.nan])}
    metrics = {
        "rows": rows.section(candidates),
        "semantic": metrics_json.semantic(scores),
        "bootstrap": metrics_json.doubt(tallies, scores, candidates, RESAMPLED),
        "capability": metrics_json.capability(measured, truth, ("wall", "floor", "bed", "sink")),
        "label_set": "scannet20",
        "absent": ["otherfurniture"],
        "missing": {"distilled": "it is lost", "ensembled": "the network was not trained"},
        "problems": [],
        "tasks": {"height": {"fusion": {"known": 62.5}, "ensembled": {"off": 1.25}}},
        "supervised": ["ensembled"],
        "split": "val",
        "scenes": list("abcde"),
        "unannotated": ["f"],
        "failed": {"g": "scenes: its mesh is damaged"},
        "points": 1900,
    }
    loss = Loss(Description("distilled", "", "", None, False, "", Path()), np.arange(2.0), np.array([3, 1.5]))
    return Study(metrics_json.rounded(metrics), tallies, [loss])
