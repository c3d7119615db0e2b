"""Folders that Open3D's recorders and its reconstruction system wrote, imported and read again.

What people report of them: no trajectory before the reconstruction ran (isl-org/Open3D, issues 2467 and
5335); the trajectory is a log of poses, or a PinholeCameraTrajectory of extrinsics, which are their inverses
(issues 421, 920 and 2778); depth in millimetres, and of RealSense in the camera's own steps (issue 1437;
realsenseai/librealsense, issue 11960); intrinsic.json column by column (isl-org/Open3D, issues 231 and
3723).
"""

import json

import numpy as np
import pytest

from anyscene.datasets.imports.formats import is_scan
from anyscene.errors import DataError
from anyscene.scene import LeftOut
from tests.builders.capture import grid, write_ply, write_scan
from tests.builders.importing import as_written, imported, read, written
from tests.builders.layouts import pose_of, turned, write_open3d
from tests.builders.wall import check_on_wall, rolled, views

POSES = tuple(rolled(yaw=yaw) for yaw in (15.0, -20.0, 5.0))


@pytest.mark.parametrize("depth_scale", [None, 1000.0, 4000.0])
def test_of_azure_kinect_and_of_realsense(tmp_path, depth_scale):
    world = turned()
    write_open3d(tmp_path / "in", views(POSES), world, depth_scale=depth_scale)
    capture = read(tmp_path / "in")
    summary, frames = written(capture, tmp_path / "out")
    assert (summary.frames, summary.depth, summary.left_out) == (3, 3, ())
    for frame in frames:
        check_on_wall(frame, world=capture.world @ world)


def test_images_that_were_taken_out_since_shift_no_pose(tmp_path):
    poses = [rolled(yaw=yaw) for yaw in (15.0, 0.0, -20.0, 5.0)]
    write_open3d(tmp_path / "in", views(poses))
    (tmp_path / "in" / "color" / "00001.jpg").unlink()
    summary, frames = imported(tmp_path / "in", tmp_path / "out")
    assert [frame.id for frame in frames] == ["00000", "00002", "00003"] and summary.left_out == ()
    for frame in frames:
        check_on_wall(frame)


def test_by_its_other_names(tmp_path):
    write_open3d(tmp_path / "in", views(POSES))
    (tmp_path / "in" / "color").rename(tmp_path / "in" / "rgb")
    (tmp_path / "in" / "intrinsic.json").rename(tmp_path / "in" / "camera_intrinsic.json")
    (tmp_path / "in" / "scene" / "trajectory.log").rename(tmp_path / "in" / "trajectory.log")
    for frame in imported(tmp_path / "in", tmp_path / "out")[1]:
        check_on_wall(frame)


def write_parameters(path, poses, old=False):
    """A PinholeCameraTrajectory."""
    extrinsics = [np.linalg.inv(pose).T.ravel().tolist() for pose in poses]
    intrinsic = {"width": 96, "height": 64, "intrinsic_matrix": [80, 0, 0, 0, 80, 0, 46.5, 33, 1]}
    content = {"class_name": "PinholeCameraTrajectory", "version_major": 1, "version_minor": 0}
    if old:
        content |= {"extrinsic": extrinsics, "intrinsic": intrinsic}
    else:
        content["parameters"] = [
            {"class_name": "PinholeCameraParameters", "extrinsic": one, "intrinsic": intrinsic}
            for one in extrinsics
        ]
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("name", ["scene/trajectory.json", "trajectory.json", "camera_trajectory.json"])
@pytest.mark.parametrize("old", [False, True])
def test_the_trajectory_as_json(tmp_path, name, old):
    world = turned()
    write_open3d(tmp_path / "in", views(POSES), world)
    (tmp_path / "in" / "scene" / "trajectory.log").unlink()
    write_parameters(tmp_path / "in" / name, [pose_of(view, world) for view in views(POSES)], old)
    capture = read(tmp_path / "in")
    summary, frames = written(capture, tmp_path / "out")
    assert summary.left_out == ()
    for frame in frames:
        check_on_wall(frame, world=capture.world @ world)


def test_a_trajectory_of_json_that_holds_poses(tmp_path):
    """As many scripts write them; what the form says may be said otherwise."""
    write_open3d(tmp_path / "in", views(POSES))
    (tmp_path / "in" / "scene" / "trajectory.log").unlink()
    inverse = [np.linalg.inv(pose_of(view)) for view in views(POSES)]
    write_parameters(tmp_path / "in" / "trajectory.json", inverse)
    capture = read(tmp_path / "in", poses="camera-to-world")
    _, frames = written(capture, tmp_path / "out")
    for frame in frames:
        check_on_wall(frame, world=capture.world)


def test_images_of_other_names_belong_together_by_their_order(tmp_path):
    write_open3d(tmp_path / "in", views(POSES))
    for index, file in enumerate(sorted((tmp_path / "in" / "depth").iterdir())):
        file.rename(file.with_name(f"{index:05d}-{33366 * index:012d}.png"))
    for frame in imported(tmp_path / "in", tmp_path / "out")[1]:
        check_on_wall(frame)
    next((tmp_path / "in" / "depth").iterdir()).unlink()
    with pytest.raises(DataError, match="2 depth images for 3 in color/, and their names do not say"):
        read(tmp_path / "in")


def test_frames_without_pose_or_depth_are_left_out(tmp_path):
    write_open3d(tmp_path / "in", views([*POSES, rolled()]))
    path = tmp_path / "in" / "scene" / "trajectory.log"
    path.write_text("\n".join(path.read_text().splitlines()[:15]) + "\n")
    (tmp_path / "in" / "depth" / "00002.png").unlink()
    left_out = imported(tmp_path / "in", tmp_path / "out")[0].left_out
    assert left_out == (LeftOut("00002", "no depth"), LeftOut("00003", "no pose"))


def test_the_mesh_of_the_reconstruction_gives_the_points(tmp_path):
    world = turned()
    write_open3d(tmp_path / "in", views(POSES), world)
    xyz, face = grid(6)
    moved = (xyz @ world[:3, :3].T + world[:3, 3]).astype(np.float32)
    write_ply(tmp_path / "in" / "scene" / "integrated.ply", moved, np.zeros((36, 3), np.uint8), face)
    capture = read(tmp_path / "in")
    written(capture, tmp_path / "out")
    whole = capture.world @ world
    expected = xyz @ whole[:3, :3].T + whole[:3, 3]
    assert np.allclose(as_written(tmp_path / "out").xyz, expected, atol=1e-5)


def test_a_recording_without_poses(tmp_path):
    write_open3d(tmp_path / "in", views(POSES))
    (tmp_path / "in" / "scene" / "trajectory.log").unlink()
    with pytest.raises(DataError, match=r"trajectory\.log: missing, a recording has no poses; run Open3D's"):
        read(tmp_path / "in")


def test_files_of_another_form(tmp_path):
    write_open3d(tmp_path / "in", views(POSES))
    path = tmp_path / "in" / "scene" / "trajectory.log"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[1:]))
    with pytest.raises(DataError, match=r"trajectory\.log: not a trajectory, 5 lines for each frame"):
        read(tmp_path / "in")
    path.write_text("\n".join(lines))
    (tmp_path / "in" / "intrinsic.json").write_text(json.dumps({"width": 96, "height": 64}))
    with pytest.raises(
        DataError, match=r"intrinsic\.json: lacks or garbles 'intrinsic_matrix'; record it again"
    ):
        read(tmp_path / "in")
    for content, lacks in (({}, "'extrinsic'"), ({"parameters": [{"extrinsic": [1]}]}, "cannot reshape")):
        (tmp_path / "in" / "camera_trajectory.json").write_text(json.dumps(content))
        path.unlink(missing_ok=True)
        with pytest.raises(DataError, match=rf"trajectory\.json: not a PinholeCameraTrajectory, .* {lacks}"):
            read(tmp_path / "in")


def test_it_is_no_scan_in_plain_files_although_it_has_color(tmp_path):
    write_open3d(tmp_path / "in", views(POSES))
    assert not is_scan(tmp_path / "in") and is_scan(write_scan(tmp_path, "scan"))
