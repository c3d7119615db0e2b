"""Scores over rooms: sums, means over variants, resampling, and the files that hold them."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from rich.console import Console

from anyscene.datasets import label_set
from anyscene.study import metrics_json
from anyscene.study.bootstrap import Interval, draws, resampled_miou
from anyscene.study.evaluation import Study
from anyscene.study.plots import write
from anyscene.study.table import tables
from anyscene.tasks.segmentation import Prediction, mean_iou, tally

SCANNET = label_set("scannet20")


def a_prediction(target, right, rng):
    guess = rng.integers(0, 20, len(target))
    label = np.where(rng.random(len(target)) < right, target, guess).astype(np.int16)
    return Prediction(label, np.where(SCANNET.foreground[label], label, 4).astype(np.int16))


@pytest.fixture
def rooms():
    rng = np.random.default_rng(0)
    rooms = metrics_json.SceneTallies()
    for _ in range(5):
        target = rng.integers(-1, 19, 400).astype(np.int16)
        for row, right in (("dense", 0.4), ("mask", 0.3), ("add", 0.45), ("capability", 0.6)):
            rooms.add(row, [tally(target, a_prediction(target, right, rng), SCANNET)])
        rooms.add("shuffled", [tally(target, a_prediction(target, 0.3, rng), SCANNET) for _ in range(3)])
    return rooms


@pytest.fixture
def study(rooms):
    scores = rooms.metrics(SCANNET, "error")
    measured = {"dense": np.array([0.5, 0.1, 0.3, 0.2]), "mask": np.array([0.2, 0.4, 0.1, 0.3])}
    truth = {"dense": np.array([0.6, 0.2, 0.3, np.nan]), "mask": np.array([0.1, 0.6, 0.2, np.nan])}
    metrics = {
        "semantic": metrics_json.semantic(scores),
        "bootstrap": metrics_json.doubt(rooms, scores, ("dense", "mask"), 50, "error", 0),
        "capability": metrics_json.capability(measured, truth, ("wall", "floor", "bed", "sink")),
        "label_set": "scannet20",
        "absent": ["otherfurniture"],
        "missing": {"ensembling": "the network was not trained"},
        "split": "val",
        "scenes": list("abcde"),
        "unannotated": ["f"],
        "points": 1900,
    }
    return Study(metrics_json.rounded(metrics), {row: rooms.matrices(row).sum((0, 1)) for row in scores})


def test_variants_are_averaged_and_rooms_summed(rooms):
    matrices = rooms.matrices("shuffled")
    assert matrices.shape == (3, 5, 20, 21)
    found = rooms.metrics(SCANNET, "error")["shuffled"]
    assert found.mIoU == pytest.approx(mean_iou(matrices.sum(1)).mean())
    assert set(found.per_class) == set(SCANNET.names[:19]) and found.absent == ("otherfurniture",)


def test_every_draw_has_as_many_rooms_as_there_are():
    draw = draws(7, 100, np.random.default_rng(1))
    assert draw.shape == (100, 7) and (draw.sum(1) == 7).all() and draw.std(0).min() > 0


def test_resampling_equals_measuring_the_drawn_rooms(rooms):
    matrices = rooms.matrices("shuffled")
    draw = np.array([[5, 0, 0, 0, 0], [1, 1, 1, 1, 1], [0, 2, 0, 3, 0]])
    expected = [
        np.mean([mean_iou(np.repeat(variant, counts, axis=0).sum(0)) for variant in matrices])
        for counts in draw
    ]
    np.testing.assert_allclose(resampled_miou(matrices, draw, "error"), expected)


def test_interval():
    found = Interval.of(np.arange(1001.0))
    assert (found.mean, found.low, found.high) == (500, 25, 975)


def test_differences_are_paired_and_name_the_best_single_model(study):
    doubt = study.metrics["bootstrap"]
    assert doubt["best_single"] == "dense" and doubt["rooms"] == 5
    gain = doubt["difference"]["capability - best single"]
    assert gain["low"] < gain["mean"] < gain["high"] and gain["low"] > 0
    between = doubt["mIoU"]["capability"]["mean"] - doubt["mIoU"]["dense"]["mean"]
    assert gain["mean"] == pytest.approx(between, abs=1e-3)
    measured = study.metrics["semantic"]
    assert gain["value"] == pytest.approx(
        measured["capability"]["mIoU"] - measured["dense"]["mIoU"], abs=1e-3
    )
    assert "capability - shuffled" in doubt["difference"]
    assert "ensembling - superpoint_distillation" not in doubt["difference"]


def test_capability_section(study):
    section = study.metrics["capability"]
    assert section["model"]["dense"]["capability"]["wall"] == 50
    assert "sink" not in section["model"]["dense"]["true_iou"]
    assert section["model"]["dense"]["spearman"] == 1
    assert section["difference"]["dense - mask"]["spearman"] == 1


def test_capability_without_truth_has_no_correlation():
    section = metrics_json.capability({"dense": np.array([0.5, 0.1])}, {"dense": None}, ("wall", "bed"))
    assert section == {"model": {"dense": {"capability": {"wall": 50.0, "bed": 10.0}}}, "difference": {}}


def test_metrics_are_plain_json(study):
    text = json.dumps(study.metrics)
    assert json.loads(text) == study.metrics and "NaN" not in text


def test_plots(study, tmp_path):
    write(study, SCANNET.names, tmp_path)
    with (tmp_path / "confusion.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert sum(row["actual"] == "bed" for row in rows) == 100
    assert not any(row["actual"] == "otherfurniture" for row in rows)
    with (tmp_path / "rows.csv").open() as file:
        assert [row["row"] for row in csv.DictReader(file)] == list(study.metrics["semantic"])
    stored = json.loads((tmp_path / "confusion.json").read_text())
    assert stored["row"] == "capability" and np.array(stored["confusion"]["dense"]).shape == (20, 21)
    with (tmp_path / "capability.csv").open() as file:
        assert next(csv.DictReader(file)) == {
            "model": "dense", "class": "wall", "capability": "50.0", "true_iou": "60.0"
        }  # fmt: skip


def test_plots_of_classes_are_of_the_last_step_best_first(study, tmp_path):
    write(study, SCANNET.names, tmp_path)
    with (tmp_path / "classes.csv").open() as file:
        rows = list(csv.DictReader(file))
    scores = study.metrics["semantic"]["capability"]
    assert {row["class"]: float(row["IoU"]) for row in rows} == scores["per_class"] and len(rows) == 19
    assert [float(row["IoU"]) for row in rows] == sorted(scores["per_class"].values(), reverse=True)
    assert float(rows[0]["precision"]) == scores["precision"][rows[0]["class"]]
    with (tmp_path / "per_class.csv").open() as file:
        each = [row for row in csv.DictReader(file) if row["row"] == "capability"]
    assert {row["class"]: row["recall"] for row in each} == {row["class"]: row["recall"] for row in rows}


def test_splits_have_columns_where_the_label_set_has_them():
    set200, rng = label_set("scannet200"), np.random.default_rng(0)
    rooms = metrics_json.SceneTallies()
    for _ in range(2):
        target = rng.integers(0, 200, 4000).astype(np.int16)
        rooms.add("dense", [tally(target, Prediction(target, np.full(4000, -1, np.int16)), set200)])
        worse = np.where(np.array(set200.split)[target] == "tail", -1, target).astype(np.int16)
        several = [Prediction(label, np.full(4000, -1, np.int16)) for label in (target, worse)]
        rooms.add("shuffled", [tally(target, prediction, set200) for prediction in several])
    scores = rooms.metrics(set200, "error")
    semantic = metrics_json.semantic(scores)
    assert semantic["shuffled"]["splits"]["tail"] == {"mIoU": 50, "mAcc": 50}  # the mean of 100 and 0
    assert semantic["shuffled"]["splits"]["head"] == {"mIoU": 100, "mAcc": 100}
    metrics = {
        "semantic": semantic,
        "bootstrap": metrics_json.doubt(rooms, scores, ("dense",), 5, "error", 0),
    }
    metrics |= {"label_set": "scannet200", "split": "val", "scenes": ["a", "b"], "points": 8000}
    metrics |= {"capability": {"model": {}}, "missing": {}, "unannotated": [], "absent": []}
    out = io.StringIO()
    Console(file=out, width=150).print(tables(metrics))
    heading, line = (row for row in out.getvalue().splitlines() if "mAcc" in row or "shuffled" in row)
    assert "mIoU head" in heading and "mIoU tail" in heading and line.split().count("50.0") == 1


def test_plots_are_the_same_bytes_again(study, tmp_path):
    for name in ("a", "b"):
        write(study, SCANNET.names, tmp_path / name)
    ours, theirs = ({p.name: p.read_bytes() for p in (tmp_path / n).iterdir()} for n in ("a", "b"))
    assert ours == theirs and len(ours) == 6


def test_table_names_rows_controls_and_what_is_missing(study):
    out = io.StringIO()
    Console(file=out, width=120).print(tables(study.metrics))
    text = out.getvalue()
    for words in (
        "2D model dense",
        "capability fusion",
        "controls",
        "fusion by shuffled capability",
        "Spearman of the difference dense - mask: 1.00",
        "left out, the network was not trained: + temporal ensembling",
        "otherfurniture",
        "no annotation: f",
    ):
        assert words in text
    assert "50 / 60" in text and "20 / -" in text
