"""Estimated depth: its scale, by points and by the ways of the cameras, and what becomes of it."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from anyscene.datasets import imports
from anyscene.datasets.imports import ExportOptions, estimated_depth, nerfstudio
from anyscene.datasets.imports.source_frame import OPENGL, load
from anyscene.datasets.rgbd import Rgbd
from anyscene.errors import DataError
from anyscene.scene import Camera
from tests.builders.nerfstudio import change, write_capture
from tests.builders.wall import render, rolled

ROOM = np.array([4.0, 5.0, 2.5])
INTRINSICS = np.array([[40.0, 0, 31.5], [0, 40, 23.5], [0, 0, 1]])


def camera(x, y, yaw, pitch=10.0):
    """A level camera in the room, 1.4 m above its floor."""
    pose = rolled(yaw=yaw) @ OPENGL
    pose[:3, :3] = pose[:3, :3] @ Rotation.from_euler("x", -pitch, degrees=True).as_matrix()
    pose[:3, 3] = x, y, 1.4
    return Camera(INTRINSICS, pose, 64, 48)


def inside(camera):
    """f4[48, 64]: the depth of the walls, the floor and the ceiling of the room."""
    u, v = np.meshgrid(np.arange(64), np.arange(48))
    ray = np.stack([(u - 31.5) / 40, (v - 23.5) / 40, np.ones(u.shape)], -1) @ camera.pose[:3, :3].T
    eye = camera.pose[:3, 3]
    with np.errstate(divide="ignore"):
        return np.where(ray > 0, (ROOM - eye) / ray, -eye / ray).min(-1).astype(np.float32)


def by_baseline(cameras, depth):
    return estimated_depth.by_baseline(cameras, lambda index: (cameras[index], depth[index]))


CAMERAS = [camera(1 + 0.35 * i, 1 + 0.3 * (i % 3), 20 * i - 50) for i in range(6)]


@pytest.mark.parametrize("wrong", [0.0, 0.2])
def test_scale_and_shift_by_points(wrong):
    rng = np.random.default_rng(0)
    depth = rng.uniform(0.5, 5, 200)
    broken = np.where(rng.random(200) < wrong, rng.uniform(2, 4, 200), 1)
    for metric, found in ((True, depth / 1.3), (False, (1 / depth - 0.05) / 0.7)):
        scale, shift = estimated_depth.by_points((found * broken).astype(np.float32), depth, metric)
        assert scale == pytest.approx(1.3 if metric else 0.7, rel=0.02)
        assert shift == pytest.approx(0 if metric else 0.05, abs=0.01)


def test_points_that_tell_no_scale():
    rng = np.random.default_rng(0)
    depth = rng.uniform(0.5, 5, 200)
    for metric in (True, False):
        few = depth[: estimated_depth.ENOUGH - 1]
        assert estimated_depth.by_points(few.astype(np.float32), few, metric) is None
        assert estimated_depth.by_points(rng.permutation(depth) ** 3, depth, metric) is None
    assert estimated_depth.by_points(depth.astype(np.float32), depth, False) is None  # far is more, not less


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.3, 3.0])
def test_a_factor_by_the_ways_of_cameras(factor):
    rng = np.random.default_rng(0)
    depth = [inside(one) / np.float32(factor) for one in CAMERAS]
    assert by_baseline(CAMERAS, depth) == pytest.approx(factor, rel=0.03)
    noisy = [one * rng.normal(1, 0.02, one.shape).astype(np.float32) for one in depth]
    assert by_baseline(CAMERAS, noisy) == pytest.approx(factor, rel=0.1)


def test_cameras_that_tell_no_factor():
    turning = [camera(2, 2, 20 * i) for i in range(6)]
    assert by_baseline(turning, [inside(one) for one in turning]) is None
    rng = np.random.default_rng(0)
    nonsense = [rng.uniform(0.2, 9, (48, 64)).astype(np.float32) for _ in CAMERAS]
    assert by_baseline(CAMERAS, nonsense) is None


class Told:
    """A model that knows the depth of the images of the wall, times a factor or as disparity."""

    def __init__(self, poses, metric, factor=1.0):
        self.name, self.metric = "told", metric
        self._depth = {}
        for pose in poses:
            rgb, depth = render(pose)
            depth = depth / factor
            self._depth[rgb.tobytes()] = (depth if metric else (1 / depth - 0.02) / 0.5).astype(np.float32)

    def __call__(self, rgb):
        return self._depth[rgb.tobytes()]


POSES = (rolled(), rolled(yaw=-20.0), rolled(yaw=10.0))


@pytest.fixture
def capture(tmp_path):
    """Views of the wall without depth."""
    folder = write_capture(tmp_path / "in", POSES)
    for frame in range(len(POSES)):
        change(folder, frame, depth_file_path=None)
    return nerfstudio.read(folder, ExportOptions(1.0, None, np.array([0, 0, 1.0])))


def on_the_wall(capture, frame):
    """f8[n, 3]: what an image sees of the wall, in the capture's world."""
    depth = render(POSES[frame])[1]
    height, width = depth.shape
    row, column = (one.ravel()[::97] for one in np.mgrid[:height, :width])
    own = capture.frames[frame].camera
    z = depth[row, column]
    x = (column - own.intrinsics[0, 2]) / own.intrinsics[0, 0] * z
    y = (row - own.intrinsics[1, 2]) / own.intrinsics[1, 1] * z
    return np.stack([x, y, z], 1) @ own.pose[:3, :3].T + own.pose[:3, 3]


@pytest.mark.parametrize("metric", [True, False])
def test_a_capture_with_points_becomes_a_scan(capture, tmp_path, metric):
    seen = {frame.id: on_the_wall(capture, i) for i, frame in enumerate(capture.frames)}
    seen[capture.frames[2].id] = seen[capture.frames[2].id][:3]  # too few
    estimated = estimated_depth.added(replace(capture, seen=seen), Told(POSES, metric, 1.7))
    assert [frame.id for frame in estimated.frames] == [frame.id for frame in capture.frames[:2]]
    summary = str(imports.write(estimated, tmp_path / "out"))
    assert "2 with depth" in summary and "depth is an estimate of told, not measured" in summary
    assert f"1 scale of estimated depth not told ({capture.frames[2].id})" in summary
    scene = Rgbd(tmp_path, "test").read("out")
    np.testing.assert_allclose(scene.xyz[:, 1], 2, atol=0.02)


def test_what_cannot_be_estimated(capture):
    with pytest.raises(DataError, match="told gives no metres, and the export has no points to tell them by"):
        estimated_depth.added(capture, Told(POSES, metric=False))
    with pytest.raises(DataError, match=r"frame_00001\.png: the depth that told estimates fits neither"):
        estimated_depth.added(capture, Told(POSES, metric=True))  # all from one place
    seen = {frame.id: on_the_wall(capture, i) for i, frame in enumerate(capture.frames)}
    again = estimated_depth.added(replace(capture, seen=seen), Told(POSES, metric=True))
    with pytest.raises(DataError, match=r"has depth; --estimate-depth is for exports without"):
        estimated_depth.added(again, Told(POSES, metric=True))


def test_eight_points_tell_the_scale_if_half_of_them_are_less_than_a_fifth_off():
    """Four of 1 m and four of b: the scale is (1 + b) / 2, and half of them are (b - 1 / b) / 4 off."""
    same = np.ones(8, np.float32)

    def told(b, count=8):
        return estimated_depth.by_points(same[:count], np.array([1, b] * 4)[:count], True)

    assert told(1.47) == (pytest.approx(1.235), 0) and told(1.49) is None  # 0.197 and 0.205
    assert told(1.2) is not None and told(1.2, 7) is None


@pytest.mark.parametrize(("way", "told"), [(0.29, False), (0.31, True), (1.49, True), (1.51, False)])
def test_two_cameras_tell_a_factor_that_went_thirty_centimetres_to_one_and_a_half_metres(way, told):
    both = [camera(1.2, 1, 30), camera(1.2 + way, 1, 30)]
    found = by_baseline(both, [inside(one) / np.float32(1.5) for one in both])
    assert (found is not None) == told and (not told or found == pytest.approx(1.5, rel=0.05))


@pytest.mark.parametrize("factor", [0.255, 3.9])
def test_factors_are_looked_for_from_a_quarter_to_four(factor):
    found = by_baseline(CAMERAS, [inside(one) / np.float32(factor) for one in CAMERAS])
    assert found == pytest.approx(factor, rel=0.03)
    assert estimated_depth.FACTORS[[0, 50, 100]] == pytest.approx([0.25, 1, 4])


@pytest.mark.parametrize("metric", [True, False])
def test_what_is_farther_than_fifty_metres_is_no_reading(capture, metric):
    class Far(Told):
        def __call__(self, rgb):
            found = super().__call__(rgb).copy()
            for column, depth in enumerate((49.5, 50.5)):
                found[0, column] = depth / 1.7 if metric else (1.7 / depth - 0.02) / 0.5
            return found

    seen = {frame.id: on_the_wall(capture, i) for i, frame in enumerate(capture.frames)}
    estimated = estimated_depth.added(replace(capture, seen=seen), Far(POSES, metric, 1.7))
    for pose, frame in zip(POSES, estimated.frames, strict=True):
        found, wall = load(frame).depth, render(pose)[1]
        assert found[0, :2] == pytest.approx([49.5, 0], abs=0.05)
        np.testing.assert_allclose(found[1:], wall[1:], rtol=1e-3)
