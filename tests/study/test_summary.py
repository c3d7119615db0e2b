"""For what `dvc metrics show` has a column."""

from __future__ import annotations

import json

import pytest
import yaml

from anyscene.study.summary import summary
from tests.builders import REPOSITORY, figures


def test_steps_are_chosen_and_the_last_is_named():
    rows = {"dense": 10, "mask": 12, "add": 11, "capability": 20, "superpoint": 21, "max": 5, "swapped": 6}
    full = figures.metrics(rows, best="mask")
    full["capability"]["model"] = {"dense": {"spearman": 0.8}, "mask": {"spearman": 0.9}, "third": {}}
    assert summary(full) == {
        "mIoU": {"best_2d_model": 12, "add": 11, "capability": 20, "superpoint": 21, "swapped": 6},
        "last_step": {"f_mIoU": 31, "mAcc": 41},
        "capability_spearman": pytest.approx(0.85),
    }
    assert summary(figures.metrics({"capability": 20.0049}))["mIoU"] == {"capability": 20.0}
    refined = summary(figures.metrics({"capability": 20, "ensembled": 30}))
    assert refined["last_step"] == {"f_mIoU": 40, "mAcc": 50} and refined["mIoU"]["ensembled"] == 30


def test_a_run_without_annotation_has_none():
    assert summary(figures.metrics({})) == {}


def test_of_the_recorded_run_there_are_about_a_dozen_columns():
    found = summary(json.loads((REPOSITORY / "reports/metrics.json").read_text()))
    columns = sum(len(value) if isinstance(value, dict) else 1 for value in found.values())
    assert 8 <= columns <= 13 and found["mIoU"]["ensembled"] > found["mIoU"]["best_2d_model"]


def test_dvc_reads_the_summary_alone():
    stages = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]
    files = [file for stage in stages.values() for entry in stage.get("metrics", []) for file in entry]
    assert files == ["reports/summary.json"]
    assert {"reports/metrics.json": {"cache": False, "persist": True}} in stages["evaluation"]["outs"]
