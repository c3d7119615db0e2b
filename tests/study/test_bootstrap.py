from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from anyscene.study import metrics_json
from anyscene.study.bootstrap import Interval, draws, resampled_miou
from anyscene.tasks.segmentation import mean_iou


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


def test_interval():
    found = Interval.of(np.arange(1001.0))
    assert (found.mean, found.low, found.high) == (500, 25, 975)
