"""Visibility and multi-view sums against whole-array NumPy as OpenScene's scripts compute them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from anyscene.lifting.projection import DescribedFrame, project, visible_pixels
from anyscene.scene import Camera
from anyscene.segmenters.protocol import FeatureMap
from benchmarks.speed import meshes
from benchmarks.speed.peers import projection as peer

pytestmark = pytest.mark.integration


def scannet(seed, width=320, height=240):
    rng = np.random.default_rng(seed)
    pose = np.eye(4)
    pose[:3, :3] = Rotation.random(random_state=seed).as_matrix()
    pose[:3, 3] = rng.uniform([0, 0, 0], [6, 5, 2.7])
    focal = rng.uniform(0.5, 1.5) * width
    centre, aspect = (width / 2 - 0.5, height / 2 - 0.5), rng.uniform(0.9, 1.1)
    intrinsics = np.array([[focal, 0, centre[0]], [0, focal * aspect, centre[1]], [0, 0, 1]])
    return Camera(intrinsics, pose, width, height)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(["none", "f4", "f8"]), st.sampled_from([(0.25, 10), (0.02, 0)]))
def test_visible_sets_are_identical(seed, kind, limits):
    tolerance, border = limits
    rng, camera = np.random.default_rng(seed), scannet(seed)
    xyz = rng.uniform([-1, -1, -1], [7, 6, 4], (4000, 3)).astype(np.float32)
    depth = None
    if kind != "none":
        depth = np.round(rng.uniform(0, 5, (240, 320)) * 1000).astype(np.uint16) / 1000
        depth[rng.random(depth.shape) < 0.1] = 0
        depth = depth.astype(kind)
    point, row, column = visible_pixels(xyz, camera, depth, tolerance=tolerance, border=border)
    mask, pixel = peer.seen(xyz, camera, depth, tolerance, border)
    assert (np.flatnonzero(mask) == point).all() and mask.sum() == len(point)
    assert (pixel[:, mask] == [column, row]).all()


def test_means_over_a_room_equal_those_of_the_loop_over_all_points():
    xyz, _ = meshes.room(50_000)
    cameras = meshes.orbit(6)
    depths = [meshes.depth_of(xyz, camera) for camera in cameras]
    features = [torch.randn(16, 240, 320, generator=torch.Generator().manual_seed(i)) for i in range(6)]
    total, count = torch.zeros(len(xyz), 16), torch.zeros(len(xyz), 1)
    for camera, depth, feature in zip(cameras, depths, features, strict=True):
        peer.accumulate(total, count, *peer.seen(xyz, camera, depth, 0.25, 10), feature)
    views = [
        DescribedFrame(camera, depth, FeatureMap(feature.permute(1, 2, 0)))
        for camera, depth, feature in zip(cameras, depths, features, strict=True)
    ]
    ((feature, times),) = project(xyz, views, lambda texts: None, tolerance=0.25, border=10)
    assert (times == count[:, 0].numpy()).all() and (times > 1).sum() > 1000
    np.testing.assert_allclose(feature, (total / count.clamp_min(1)).numpy(), atol=1e-5)
