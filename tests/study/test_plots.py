"""What `dvc plots` draws from the tables that an evaluation writes."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess

import numpy as np
import yaml
from rich.console import Console

from anyscene.datasets import label_set
from anyscene.project.parameters import Evaluation
from anyscene.study import metrics_json, rows
from anyscene.study.plots import write
from anyscene.study.table import tables
from anyscene.tasks.segmentation import tally
from anyscene.text.text_space import Prediction
from tests.builders import REPOSITORY, figures
from tests.builders.workspace import Workspace

SCANNET = label_set("scannet20")
RESAMPLED = Evaluation(
    "val", "error", bootstrap=50, controls=True, shuffles=3, seed=0, turns=1, label_sets=()
)


def test_dvc_draws_the_loss_of_every_network_without_knowing_one(tmp_path):
    plots = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["plots"]
    (losses,) = (plot for plot in plots if "losses" in plot)
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"plots": [losses]}))
    shutil.copytree(REPOSITORY / ".dvc/plots", tmp_path / ".dvc/plots")
    shutil.copy(REPOSITORY / ".dvc/config", tmp_path / ".dvc/config")
    table = "network,step,loss\nfirst,0,3.0\nsecond,0,2.0\nsecond,1,1.0\n"
    (tmp_path / "reports/plots").mkdir(parents=True)
    (tmp_path / "reports/plots/losses.csv").write_text(table)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    result = Workspace(tmp_path).dvc("plots", "show")
    assert result.code == 0, result.output
    page = (tmp_path / "dvc_plots/index.html").read_text()
    spec = json.loads(re.search(r"var spec = (\{.*\});", page).group(1))
    assert [(each["network"], each["loss"]) for each in spec["data"]["values"]] == [
        ("first", "3.0"),
        ("second", "2.0"),
        ("second", "1.0"),
    ]
    assert spec["encoding"]["color"]["field"] == "network"
    assert (spec["encoding"]["x"]["field"], spec["encoding"]["y"]["field"]) == ("step", "loss")


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
