"""PointMasks of a bit a point."""

import tracemalloc

import numpy as np
import pytest

from anyscene.tasks.instances.proposals import Proposals
from anyscene.tasks.point_masks import PointMasks


@pytest.mark.parametrize("points", [0, 1, 8, 13])
def test_masks_come_back_as_they_were(points):
    dense = np.random.default_rng(points).random((4, points)) < 0.5
    masks = PointMasks.of(dense, points)
    assert len(masks) == 4 and np.array_equal([*masks], dense)
    assert masks.sizes().tolist() == dense.sum(1).tolist()
    for start in range(points + 1):
        for end in range(start, points + 1):
            assert np.array_equal(masks.between(start, end), dense[:, start:end])


def test_of_no_masks_the_number_of_points_is_known():
    masks = PointMasks.of([], 13)
    assert [*masks] == [] and masks.points == 13 and masks.sizes().tolist() == []
    assert masks.between(3, 9).shape == (0, 6)


@pytest.mark.parametrize("wrong", [np.ones(7, bool), np.ones((2, 8), bool), np.ones(8, np.uint8)])
def test_a_mask_of_another_shape_or_type_is_refused(wrong):
    with pytest.raises(ValueError, match=r"mask of \w+\[\d+(, \d+)?\], not of 8 truth values"):
        PointMasks.of([wrong], 8)


def test_memory_of_many_proposals_is_bounded():
    group = np.arange(500)
    superpoint = np.arange(150_000) % 500
    tracemalloc.start()
    found = Proposals.from_clusters(group, superpoint)
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found) == 500 and found.masks.sizes().tolist() == [300] * 500
    assert held < 10e6 and peak < 25e6  # a byte a point would be 75 MB
