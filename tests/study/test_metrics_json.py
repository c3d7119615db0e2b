"""Scores over scenes: sums, means over variants, resampling, and the files that hold them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from anyscene.datasets import label_set
from anyscene.study import metrics_json
from anyscene.tasks.segmentation import mean_iou

SCANNET = label_set("scannet20")


def test_variants_are_averaged_and_scenes_summed(tallies):
    matrices = tallies.matrices("shuffled")
    assert matrices.shape == (3, 5, 20, 21)
    found = tallies.metrics(SCANNET, "error")["shuffled"]
    assert found.mIoU == pytest.approx(mean_iou(matrices.sum(1)).mean())
    assert set(found.per_class) == set(SCANNET.names[:19]) and found.absent == ("otherfurniture",)


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
