"""Scenes of ScanNet++, imported and read again.

What people report of them: fewer poses than images in the video (scannetpp/scannetpp, issue 104); poses of
pose_intrinsic_imu.json do not fit the mesh, but aligned_pose does (issue 154); images of the camera are
those of a fisheye, and the undistorted ones are not among the downloads (issue 167; spla-tam/SplaTAM, issue
60).
"""

import json
import shutil

import numpy as np
import pytest

from anyscene.datasets.rgbd import Rgbd
from anyscene.errors import DataError
from tests.builders.capture import grid, write_ply
from tests.builders.importing import imported, read
from tests.builders.layouts import write_scannetpp_dslr, write_scannetpp_iphone
from tests.builders.wall import DISTORTION, HEIGHT, WIDTH, check_on_wall, render, rolled, views, wall_of

POSES = tuple(rolled(yaw=yaw) for yaw in (15.0, -20.0, 5.0))
FISHEYE = (-0.03, -0.006, 0.002, -0.0005)
SCENE = "02455b3d20"


def write_mesh(scene):
    xyz, face = grid(6)
    (scene / "scans").mkdir(parents=True, exist_ok=True)
    write_ply(scene / "scans" / "mesh_aligned_0.05.ply", xyz, np.zeros((36, 3), np.uint8), face)
    return xyz


@pytest.mark.parametrize("place", ["", "iphone"])
def test_the_iphone(tmp_path, place):
    seen = views(POSES, distortion=DISTORTION, depth_size=(48, 32))
    names = write_scannetpp_iphone(tmp_path / SCENE, seen, list(DISTORTION.values()))
    (tmp_path / SCENE / "iphone" / "rgb" / "frame_000005.jpg").write_bytes(b"of no pose, so it is not read")
    summary, frames = imported(tmp_path / SCENE / place, tmp_path / "out")
    assert (summary.frames, summary.depth, summary.undistorted) == (3, 3, 3)
    assert [frame.id for frame in frames] == names
    for frame in frames:
        check_on_wall(frame, place=0.02, drop=0.1)


def test_with_the_mesh_of_the_laser_scan(tmp_path):
    write_scannetpp_iphone(tmp_path / SCENE, views(POSES))
    xyz = write_mesh(tmp_path / SCENE)
    summary, _ = imported(tmp_path / SCENE, tmp_path / "out")
    assert summary.depth == 3 and np.allclose(Rgbd(tmp_path, "test").read("out").xyz, xyz, atol=1e-6)


def test_without_colmap_the_aligned_poses_count(tmp_path):
    names = write_scannetpp_iphone(tmp_path / SCENE, views(POSES))
    shutil.rmtree(tmp_path / SCENE / "iphone" / "colmap")
    summary, found = imported(tmp_path / SCENE, tmp_path / "out")
    assert [(frame.id, frame.why) for frame in summary.left_out] == [("frame_000999", "no image")]
    for frame in found:
        check_on_wall(frame)
    file = tmp_path / SCENE / "iphone" / "pose_intrinsic_imu.json"
    frames = json.loads(file.read_text())
    del frames[names[1]]["aligned_pose"]
    file.write_text(json.dumps(frames))
    with pytest.raises(DataError, match=r"imu\.json: frame_000010 lacks or garbles 'aligned_pose'"):
        read(tmp_path / SCENE)


def test_the_camera_with_its_fisheye(tmp_path):
    names = write_scannetpp_dslr(tmp_path / SCENE, views(POSES, fisheye=FISHEYE), FISHEYE)
    with pytest.raises(DataError, match="no depth, and no mesh"):
        imported(tmp_path / SCENE, tmp_path / "none")
    xyz = write_mesh(tmp_path / SCENE)
    summary, frames = imported(tmp_path / SCENE / "dslr", tmp_path / "out")
    assert (summary.undistorted, summary.depth) == (3, 0) and [frame.id for frame in frames] == names
    assert np.allclose(Rgbd(tmp_path, "test").read("out").xyz, xyz, atol=1e-6)
    for frame, pose in zip(frames, POSES, strict=True):
        camera, rgb = frame.camera, frame.read_color()
        assert (camera.width, camera.height) == (WIDTH, HEIGHT)
        row, column = np.mgrid[2 : HEIGHT - 2, 2 : WIDTH - 2]
        (fx, _, cx), (_, fy, cy), _ = camera.intrinsics
        ray = np.stack([(column - cx) / fx, (row - cy) / fy, np.ones(row.shape)], -1) @ camera.pose[:3, :3].T
        where = camera.pose[:3, 3] + (2.0 - camera.pose[1, 3]) / ray[..., 1:2] * ray
        shown = rgb[2:-2, 2:-2]
        inside = ((shown[..., [0, 2]] > 10) & (shown[..., [0, 2]] < 245)).all(-1)
        assert inside.mean() > 0.8  # there is no black rim
        off = wall_of(shown)[inside] - where[..., [0, 2]][inside]
        assert np.abs(off.mean(0)).max() < 0.006 and np.abs(off).mean() < 0.02
        assert fx < 80 and np.allclose(render(pose)[0].shape, rgb.shape)  # a wider view than at its own focal


def test_what_is_missing_or_said_already(tmp_path):
    write_scannetpp_iphone(tmp_path / SCENE, views(POSES))
    for given in ({"scale": 1.0}, {"depth_unit": 0.001}, {"up": "images"}):
        with pytest.raises(DataError, match=r"leave out --.*: ScanNet\+\+ has metres"):
            read(tmp_path / SCENE, **given)
    (tmp_path / SCENE / "iphone" / "rgb").rename(tmp_path / "rgb")
    with pytest.raises(
        DataError, match=r"neither iphone/rgb/ nor dslr/resized_images/; extract the iPhone's"
    ):
        read(tmp_path / SCENE)
    (tmp_path / "rgb").rename(tmp_path / SCENE / "iphone" / "rgb")
    path = tmp_path / SCENE / "iphone" / "colmap" / "cameras.txt"
    path.write_text(path.read_text().replace("\n1 ", "\n2 "))
    with pytest.raises(DataError, match=r"frame_000000\.jpg has camera 1, which is not there"):
        read(tmp_path / SCENE)
