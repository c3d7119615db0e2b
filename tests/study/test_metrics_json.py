"""Scores over scenes: sums, means over variants, resampling, and the files that hold them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from anyscene.datasets import entry, label_set
from anyscene.project.parameters import Evaluation
from anyscene.study import metrics_json
from anyscene.tasks.segmentation import mean_iou
from tests.builders import figures

SCANNET = label_set("scannet20")
RESAMPLED = Evaluation(
    "val", "error", bootstrap=50, controls=True, shuffles=3, seed=0, turns=1, label_sets=()
)


def test_variants_are_averaged_and_scenes_summed(tallies, scenes):
    every = matrices(scenes, "shuffled")
    assert every.shape == (3, 5, 20, 21)
    assert np.array_equal(tallies.confusion("shuffled"), every.sum((0, 1)))
    found = tallies.metrics(SCANNET)["shuffled"]
    assert found.mIoU == pytest.approx(mean_iou(every.sum(1)).mean())
    assert set(found.per_class) == set(SCANNET.names[:19]) and found.absent == ("otherfurniture",)


def matrices(scenes, row):
    """i8[P, S, K, K+1]: the confusion of each variant in each scene."""
    return np.stack([[variant.every for variant in scene[row]] for scene in scenes], 1)


def test_of_a_scene_three_numbers_of_each_class_are_kept(tallies):
    kept = tallies.counts("shuffled")
    assert kept.shape == (3, 5, 3, 20) and kept.dtype == np.int32


def test_a_scene_of_another_number_of_variants_is_refused(tallies, scenes):
    with pytest.raises(ValueError, match="argument"):
        tallies.add("shuffled", scenes[0]["shuffled"][:2])


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


def doubt(tallies, *origins):
    scores = tallies.metrics(SCANNET)
    return metrics_json.doubt(tallies, scores, [figures.row(name) for name in scores], RESAMPLED, *origins)


def test_scenes_of_one_origin_are_drawn_together(tallies, scenes):
    """As if their points were those of one scene."""
    origins = ["b", "a", "b", "c", "a"]
    merged = metrics_json.SceneTallies("error")
    for origin in sorted(set(origins)):
        own = [scene for scene, of in zip(scenes, origins, strict=True) if of == origin]
        for row in scenes[0]:
            merged.add(
                row, [sum(one[1:], one[0]) for one in zip(*(scene[row] for scene in own), strict=True)]
            )
    together, alone = doubt(tallies, origins, "houses"), doubt(merged)
    assert together.pop("scenes") == 5 and alone.pop("scenes") == 3
    assert together.pop("drawn") == {"what": "houses", "count": 3}
    assert alone.pop("drawn") == {"what": "scenes", "count": 3}
    assert together == alone


def test_scenes_that_are_their_own_origin_are_drawn_by_themselves(tallies):
    assert doubt(tallies, list("abcde")) == doubt(tallies)


@pytest.mark.parametrize(
    ("reader", "origins", "scene", "origin"),
    [
        ("scannet", "spaces", "scene0011_01", "scene0011"),
        ("matterport", "houses", "17DRP5sb8fy_region12", "17DRP5sb8fy"),
        ("nuscenes", "drives", "scene-0061_07", "scene-0061"),
        ("rgbd", "scenes", "kitchen_2", "kitchen_2"),
    ],
)
def test_readers_say_what_scenes_come_from(reader, origins, scene, origin):
    found = entry(reader)
    assert (found.origins, found.origin(scene)) == (origins, origin)
