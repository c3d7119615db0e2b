"""Scores over scenes: sums, means over variants, resampling, and the files that hold them."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from anyscene.datasets import label_set
from anyscene.networks.trained import Description
from anyscene.project.parameters import Evaluation
from anyscene.study import metrics_json, rows
from anyscene.study.bootstrap import Interval, draws, resampled_miou
from anyscene.study.evaluation import Study
from anyscene.study.losses import Loss
from anyscene.study.plots import write
from anyscene.study.table import tables
from anyscene.tasks.segmentation import mean_iou, tally
from anyscene.text.text_space import Prediction
from tests.builders import figures

SCANNET = label_set("scannet20")
RESAMPLED = Evaluation("val", "error", bootstrap=50, shuffles=3, seed=0, turns=1)


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


def matrices(scenes, row):
    """i8[P, S, K, K+1]: the confusion of each variant in each scene."""
    return np.stack([[variant.every for variant in scene[row]] for scene in scenes], 1)


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
        "points": 1900,
    }
    loss = Loss(Description("distilled", "", "", None, False, "", Path()), np.arange(2.0), np.array([3, 1.5]))
    confusion = {row: tallies.confusion(row) for row in scores}
    return Study(metrics_json.rounded(metrics), confusion, [loss])


def test_variants_are_averaged_and_scenes_summed(tallies, scenes):
    every = matrices(scenes, "shuffled")
    assert every.shape == (3, 5, 20, 21)
    assert np.array_equal(tallies.confusion("shuffled"), every.sum((0, 1)))
    found = tallies.metrics(SCANNET)["shuffled"]
    assert found.mIoU == pytest.approx(mean_iou(every.sum(1)).mean())
    assert set(found.per_class) == set(SCANNET.names[:19]) and found.absent == ("otherfurniture",)


def test_every_draw_has_as_many_scenes_as_there_are():
    draw = draws(7, 100, np.random.default_rng(1))
    assert draw.shape == (100, 7) and (draw.sum(1) == 7).all() and draw.std(0).min() > 0


@pytest.mark.parametrize("unpredicted", ["error", "ignore"])
def test_resampling_equals_measuring_the_drawn_scenes(scenes, unpredicted):
    tallies = metrics_json.SceneTallies(unpredicted)
    for scene in scenes:
        tallies.add("shuffled", without_some(scene["shuffled"]))
    every = np.stack([[one.every for one in without_some(scene["shuffled"])] for scene in scenes], 1)
    draw = np.array([[5, 0, 0, 0, 0], [1, 1, 1, 1, 1], [0, 2, 0, 3, 0]])
    expected = [
        np.mean([mean_iou(np.repeat(variant, times, axis=0).sum(0), unpredicted) for variant in every])
        for times in draw
    ]
    np.testing.assert_array_equal(resampled_miou(tallies.counts("shuffled"), draw), expected)


def without_some(variants):
    """The tallies with some points of each class unpredicted, and all of class 3."""
    found = []
    for one in variants:
        every = one.every.copy()
        every[:, -1] = every[:, 5]
        every[3, -1] += every[3, :-1].sum()
        every[3, :-1] = every[:, 5] = 0
        found.append(replace(one, every=every))
    return found


def test_of_a_scene_three_numbers_of_each_class_are_kept(tallies):
    kept = tallies.counts("shuffled")
    assert kept.shape == (3, 5, 3, 20) and kept.dtype == np.int32


def test_a_scene_of_another_number_of_variants_is_refused(tallies, scenes):
    with pytest.raises(ValueError, match="argument"):
        tallies.add("shuffled", scenes[0]["shuffled"][:2])


def test_interval():
    found = Interval.of(np.arange(1001.0))
    assert (found.mean, found.low, found.high) == (500, 25, 975)


def test_differences_are_paired_and_name_the_best_single_model(study):
    doubt = study.metrics["bootstrap"]
    assert doubt["best_single"] == "dense" and doubt["scenes"] == 5
    gain = doubt["difference"]["capability - best single"]
    assert gain["low"] < gain["mean"] < gain["high"] and gain["low"] > 0
    between = doubt["mIoU"]["capability"]["mean"] - doubt["mIoU"]["dense"]["mean"]
    assert gain["mean"] == pytest.approx(between, abs=1e-3)
    measured = study.metrics["semantic"]
    assert gain["value"] == pytest.approx(
        measured["capability"]["mIoU"] - measured["dense"]["mIoU"], abs=1e-3
    )
    assert "capability - shuffled" in doubt["difference"]
    assert "ensembled - distilled" not in doubt["difference"]


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
    assert (tmp_path / "losses.csv").read_text() == "network,step,loss\ndistilled,0,3.0\ndistilled,1,1.5\n"
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
    tallies = metrics_json.SceneTallies("error")
    for _ in range(2):
        target = rng.integers(0, 200, 4000).astype(np.int16)
        tallies.add("dense", [tally(target, Prediction(target, np.full(4000, -1, np.int16)), set200)])
        worse = np.where(np.array(set200.split)[target] == "tail", -1, target).astype(np.int16)
        several = [Prediction(label, np.full(4000, -1, np.int16)) for label in (target, worse)]
        tallies.add("shuffled", [tally(target, prediction, set200) for prediction in several])
    scores = tallies.metrics(set200)
    candidates = [figures.row(name) for name in scores]
    semantic = metrics_json.semantic(scores)
    assert semantic["shuffled"]["splits"]["tail"] == {"mIoU": 50, "mAcc": 50}  # the mean of 100 and 0
    assert semantic["shuffled"]["splits"]["head"] == {"mIoU": 100, "mAcc": 100}
    metrics = {
        "rows": rows.section(candidates),
        "semantic": semantic,
        "bootstrap": metrics_json.doubt(tallies, scores, candidates, RESAMPLED),
    }
    metrics |= {"label_set": "scannet200", "split": "val", "scenes": ["a", "b"], "points": 8000}
    metrics |= {"capability": {"model": {}}, "missing": {}, "unannotated": [], "absent": []}
    metrics |= {"supervised": [], "problems": [], "tasks": {}}
    out = io.StringIO()
    Console(file=out, width=150).print(tables(metrics))
    printed = out.getvalue().splitlines()
    heading, line = (each for each in printed if "mAcc" in each or "shuffled" in each)
    assert "mIoU head" in heading and "mIoU tail" in heading and line.split().count("50.0") == 1


def test_plots_are_the_same_bytes_again(study, tmp_path):
    for name in ("a", "b"):
        write(study, SCANNET.names, tmp_path / name)
    ours, theirs = ({p.name: p.read_bytes() for p in (tmp_path / n).iterdir()} for n in ("a", "b"))
    assert ours == theirs and len(ours) == 7


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
        "left out, it is lost: superpoint distillation",
        "these networks were trained with labels, the others were not: temporal ensembling",
        "otherfurniture",
        "no annotation: f",
    ):
        assert words in text
    assert "50 / 60" in text and "20 / -" in text
    lines = [line.split() for line in text.splitlines()]
    assert [["height"], ["known", "off"], ["fusion", "62.5"], ["ensembled", "1.2"]] == [
        line for line in lines if (line and line[0] in ("height", "known")) or "62.5" in line or "1.2" in line
    ]


def test_rows_are_read_as_they_were_written(study):
    found = rows.of(study.metrics)
    names = ("dense", "mask", "add", "capability", "shuffled", "distilled", "ensembled")
    assert found == tuple(figures.row(name) for name in names)
    assert rows.of(json.loads(json.dumps(study.metrics))) == found
    assert [row.name for row in rows.measured(study.metrics)] == list(names[:5])


def test_the_way_to_the_last_step_leads_through_what_its_network_began_from():
    every = [
        figures.row(name) for name in ("dense", "capability", "pixelwise", "distilled", "ensembled", "max")
    ]
    assert rows.last_step(every).name == "ensembled"
    assert [row.name for row in rows.steps(every)] == ["capability", "distilled", "ensembled"]
    without_start = [row for row in every if row.name != "distilled"]
    assert [row.name for row in rows.steps(without_start)] == ["capability", "ensembled"]
    assert [row.name for row in rows.steps(every[:1])] == [] and rows.last_step([]) is None
    circle = [replace(every[3], start="ensembled"), every[4]]
    assert {row.name for row in rows.steps(circle)} == {"distilled", "ensembled"}
