from __future__ import annotations

import numpy as np

from anyscene.datasets import label_set
from anyscene.study.bootstrap import Interval, draws, resampled_miou
from anyscene.tasks.segmentation import mean_iou

SCANNET = label_set("scannet20")


def test_every_draw_has_as_many_scenes_as_there_are():
    draw = draws(7, 100, np.random.default_rng(1))
    assert draw.shape == (100, 7) and (draw.sum(1) == 7).all() and draw.std(0).min() > 0


def test_resampling_equals_measuring_the_drawn_scenes(tallies):
    matrices = tallies.matrices("shuffled")
    draw = np.array([[5, 0, 0, 0, 0], [1, 1, 1, 1, 1], [0, 2, 0, 3, 0]])
    expected = [
        np.mean([mean_iou(np.repeat(variant, counts, axis=0).sum(0)) for variant in matrices])
        for counts in draw
    ]
    np.testing.assert_allclose(resampled_miou(matrices, draw, "error"), expected)


def test_interval():
    found = Interval.of(np.arange(1001.0))
    assert (found.mean, found.low, found.high) == (500, 25, 975)
