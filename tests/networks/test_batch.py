from dataclasses import replace

import numpy as np
import torch

from anyscene.networks.batch import as_it_is, join
from tests.builders import training_rooms

VOXEL = training_rooms.VOXEL


def test_batches_keep_their_scenes_apart():
    clouds = [training_rooms.room(seed)[0] for seed in (0, 1)]
    views = [as_it_is(cloud, VOXEL, "colour") for cloud in clouds]
    both = join(views)
    assert both.start.tolist() == [0, len(views[0].voxels.point), both.maps.size(0)]
    alone = both.select([1])
    assert alone.views == (views[1],) and alone.maps.size(0) == len(views[1].features)
    assert torch.equal(both.features[both.start[1] :], alone.features)
    assert float(both.features.abs().max()) <= 1
    assert [view.cloud.id for view in both.views] == ["room0", "room1"]
    ones = join([as_it_is(cloud, VOXEL, "geometry") for cloud in clouds])
    assert torch.equal(ones.features, torch.ones(both.maps.size(0), 3))


def test_without_augmentation_a_scan_may_lie_anywhere():
    """Where a capture's origin lies does not move its voxels: walls at 0 would else flicker between two."""
    cloud = training_rooms.room(0)[0]
    moved = replace(cloud, xyz=cloud.xyz + np.float32([8, -4, 2]))
    here, there = (as_it_is(c, VOXEL, "colour") for c in (cloud, moved))
    assert np.array_equal(here.voxels.coordinates, there.voxels.coordinates)
    same = (here.features == there.features).all(1).mean()
    assert same > 0.8  # the shift is rounded: a few points change sides
    assert np.abs(here.voxels.coordinates.min(0) + here.voxels.coordinates.max(0) + 1).max() <= 1
