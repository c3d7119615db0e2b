"""Renderings of Replica, imported and read again.

What people report of them: whether depth is in metres or millimetres (cvg/nice-slam, issues 45 and 108;
spla-tam/SplaTAM, issue 7: 6553.5); what format and axes traj_w_c.txt has (Harry-Zhi/semantic_nerf, issue
6); poses that were turned to OpenGL's axes, as NICE-SLAM does when it reads them (autonomousvision/monosdf,
issue 69).
"""

import json

import numpy as np
import pytest
from PIL import Image

from anyscene.datasets import imports
from anyscene.datasets.rgbd import Rgbd
from anyscene.errors import DataError
from anyscene.scene import LeftOut
from tests.builders.capture import grid, write_ply
from tests.builders.importing import imported, read
from tests.builders.layouts import pose_of, turned, write_replica
from tests.builders.wall import check_on_wall, rolled, views

POSES = tuple(rolled(yaw=yaw) for yaw in (15.0, -20.0, 5.0))
MOVED = turned((0, 0, 1.9))


def test_frames_are_where_the_trajectory_says(tmp_path):
    write_replica(tmp_path / "room0", views(POSES), MOVED)
    summary, frames = imported(tmp_path / "room0", tmp_path / "out")
    assert (summary.frames, summary.depth, summary.left_out) == (3, 3, ())
    assert [frame.id for frame in frames] == ["000000", "000001", "000002"]
    for frame in frames:
        check_on_wall(frame, world=MOVED)


def test_of_a_thinned_room_a_frame_has_the_line_of_its_number(tmp_path):
    write_replica(tmp_path / "room0", views(POSES))
    (tmp_path / "room0" / "results" / "frame000000.jpg").unlink()
    _, frames = imported(tmp_path / "room0", tmp_path / "out")
    assert [frame.id for frame in frames] == ["000001", "000002"]
    for frame in frames:
        check_on_wall(frame)


def test_frames_that_are_counted_from_one_have_the_lines_in_their_order(tmp_path):
    write_replica(tmp_path / "room0", views(POSES))
    for index in (2, 1, 0):
        for name in (f"frame{index:06d}.jpg", f"depth{index:06d}.png"):
            file = tmp_path / "room0" / "results" / name
            file.rename(file.with_name(name.replace(f"{index:06d}", f"{index + 1:06d}")))
    for frame in imported(tmp_path / "room0", tmp_path / "out")[1]:
        check_on_wall(frame)


def test_frames_without_pose_or_depth_are_left_out(tmp_path):
    write_replica(tmp_path / "room0", views([*POSES, rolled()]))
    path = tmp_path / "room0" / "traj.txt"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:3]))
    (tmp_path / "room0" / "results" / "depth000001.png").unlink()
    left_out = imported(tmp_path / "room0", tmp_path / "out")[0].left_out
    assert left_out == (LeftOut("000001", "no depth"), LeftOut("000003", "no pose"))


def test_without_parameters_the_camera_is_that_of_imap(tmp_path):
    write_replica(tmp_path / "room0", views(POSES))
    (tmp_path / "cam_params.json").unlink()
    for file in (tmp_path / "room0" / "results").iterdir():
        Image.open(file).resize((600, 340), Image.Resampling.NEAREST).save(file)
    frame = read(tmp_path / "room0").frames[0]
    assert frame.camera.intrinsics.tolist() == [[300, 0, 299.5], [0, 300, 169.5], [0, 0, 1]]
    assert frame.depth.unit == pytest.approx(1 / 6553.5)


def test_the_mesh_beside_the_room_gives_its_points(tmp_path):
    write_replica(tmp_path / "room0", views(POSES))
    xyz, face = grid(6)
    write_ply(tmp_path / "room0_mesh.ply", xyz, np.zeros((len(xyz), 3), np.uint8), face)
    imports.write(read(tmp_path / "room0"), tmp_path / "out")
    assert np.allclose(Rgbd(tmp_path, "test").read("out").xyz, xyz, atol=1e-6)


def test_semantic_nerf(tmp_path):
    """Of a camera of 90 degrees: the wall's views have another, so poses, depth and camera are compared."""
    seen, lines = views(POSES), []
    for index, view in enumerate(seen):
        for name in ("rgb", "depth"):
            (tmp_path / "Sequence_1" / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(view.rgb).save(tmp_path / "Sequence_1" / "rgb" / f"rgb_{index}.png")
        depth = np.rint(1000 * view.depth).astype(np.uint16)
        Image.fromarray(depth).save(tmp_path / "Sequence_1" / "depth" / f"depth_{index}.png")
        lines.append(" ".join(str(value) for value in pose_of(view).ravel()))
    (tmp_path / "Sequence_1" / "traj_w_c.txt").write_text("\n".join(lines))
    _, frames = imported(tmp_path / "Sequence_1", tmp_path / "out")
    for frame, view in zip(frames, seen, strict=True):
        assert np.allclose(frame.camera.pose, pose_of(view), atol=1e-8)
        assert frame.camera.intrinsics.tolist() == [[48, 0, 47.5], [0, 48, 31.5], [0, 0, 1]]
        assert np.abs(frame.read_depth() - view.depth).max() < 6e-4


def test_files_of_another_form(tmp_path):
    write_replica(tmp_path / "room0", views(POSES))
    path = tmp_path / "room0" / "traj.txt"
    path.write_text("1 0 0 0\n" * 12)
    with pytest.raises(DataError, match=r"traj\.txt: a line has not 16 numbers \(4 values: 1 0 0 0\)"):
        read(tmp_path / "room0")
    (tmp_path / "cam_params.json").write_text(json.dumps({"camera": {"w": 96}}))
    path.write_text(" ".join(str(value) for value in np.eye(4).ravel()) + "\n")
    with pytest.raises(DataError, match=r"cam_params\.json: camera lacks or garbles 'fx'"):
        read(tmp_path / "room0")
    for file in (tmp_path / "room0" / "results").glob("frame*"):
        file.unlink()
    with pytest.raises(DataError, match=r"results/frame\*: no image; give the folder of a room"):
        read(tmp_path / "room0")
