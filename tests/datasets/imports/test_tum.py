"""Recordings in the form of TUM's benchmark, imported and read again.

What people report of them: associations.txt is missing, or of the other order (silencht/SG-SLAM, issue 44;
zdzhaoyong/GSLAM, issue 15); a list with comments or without a pose ends the reader (Shiaoming/Python-VO,
issue 10; cvg/nice-slam, issue 98); their own camera has another depth factor and intrinsics
(xdspacelab/openvslam, issue 488); poses have commas for points (introlab/rtabmap_ros, issue 465).
"""

import numpy as np
import pytest

from anyscene.errors import DataError
from anyscene.scene import LeftOut
from tests.builders.importing import imported, read, written
from tests.builders.layouts import turned, write_tum
from tests.builders.wall import check_on_wall, rolled, views

POSES = tuple(rolled(yaw=yaw) for yaw in (15.0, -20.0, 5.0))
MOVED = turned((0, 0, 1.9))  # another heading, still z up


@pytest.mark.parametrize("paired", [False, True])
def test_lists_and_pairs(tmp_path, paired):
    write_tum(tmp_path / "in", views(POSES), MOVED, paired=paired)
    summary, frames = imported(tmp_path / "in", tmp_path / "out")
    assert (summary.frames, summary.depth, summary.left_out) == (3, 3, ())
    for frame in frames:
        check_on_wall(frame, world=MOVED)


@pytest.mark.parametrize("order", ["depth first", "after a pose", "windows"])
def test_pairs_in_any_order(tmp_path, order):
    write_tum(tmp_path / "in", views(POSES), paired=True)
    path, lines = tmp_path / "in" / "associations.txt", []
    for line in path.read_text().splitlines():
        time, color, later, depth = line.split()
        lines.append(
            {
                "depth first": f"{later} {depth} {time} {color}",
                "after a pose": f"{time} 1 2 3 0 0 0 1 {later} {depth} {time} {color}",
                "windows": line.replace("/", "\\"),
            }[order]
        )
    path.write_text("# pairs\n\n" + "\n".join(lines) + "\n")
    for frame in imported(tmp_path / "in", tmp_path / "out")[1]:
        check_on_wall(frame)


def test_frames_without_pose_or_depth_are_left_out(tmp_path):
    write_tum(tmp_path / "in", views([*POSES, rolled(), rolled(yaw=-5.0)]))
    poses = (tmp_path / "in" / "groundtruth.txt").read_text().splitlines()
    (tmp_path / "in" / "groundtruth.txt").write_text("\n".join(poses[:8]) + "\n")  # of the first three frames
    depths = (tmp_path / "in" / "depth.txt").read_text().splitlines()
    (tmp_path / "in" / "depth.txt").write_text("\n".join([*depths[:2], *depths[3:]]) + "\n")
    summary, frames = imported(tmp_path / "in", tmp_path / "out")
    assert [frame.why for frame in summary.left_out] == ["no depth", "no pose", "no pose"]
    assert len(frames) == 2
    for frame in frames:
        check_on_wall(frame)


def test_a_trajectory_of_a_slam_begins_at_its_first_camera(tmp_path):
    world = turned()
    write_tum(tmp_path / "in", views(POSES), world)
    (tmp_path / "in" / "groundtruth.txt").replace(tmp_path / "in" / "KeyFrameTrajectory.txt")
    with pytest.raises(DataError, match=r"up would be .*but the images are level about .*--up images"):
        read(tmp_path / "in")
    capture = read(tmp_path / "in", up="images")
    for frame in written(capture, tmp_path / "out")[1]:
        check_on_wall(frame, world=capture.world @ world)


def test_depth_of_ones_own_camera(tmp_path):
    write_tum(tmp_path / "in", views(POSES))
    _, frames = imported(tmp_path / "in", tmp_path / "out", depth_unit=0.001)
    assert 5 * 2.0 < np.median(frames[0].read_depth()) < 5 * 2.5


def test_whose_camera_it_is(tmp_path):
    write_tum(tmp_path / "in", views(POSES))
    (tmp_path / "in" / "calibration.txt").unlink()
    with pytest.raises(DataError, match=r"calibration\.txt: missing; write fx fy cx cy"):
        read(tmp_path / "in")
    np.savetxt(tmp_path / "in" / "intrinsics.txt", [[80, 0, 46.5], [0, 80, 33], [0, 0, 1]])
    assert read(tmp_path / "in").frames[0].camera.intrinsics[0].tolist() == [80, 0, 46.5]
    (tmp_path / "in" / "intrinsics.txt").write_text("80 80 46.5")
    with pytest.raises(DataError, match=r"intrinsics\.txt: 3 numbers; write fx, fy, cx, cy"):
        read(tmp_path / "in")
    (tmp_path / "in" / "intrinsics.txt").unlink()
    folder = (tmp_path / "in").rename(tmp_path / "rgbd_dataset_freiburg1_desk")
    with pytest.raises(DataError, match=r"centre \(319\.5, 239\.5\) is not near"):  # of 640x480 pixels
        read(folder)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("groundtruth.txt", "1.0 0 0 0 0 0 1\n", "groundtruth.txt: a line has not 8 numbers"),
        (
            "groundtruth.txt",
            "1,5 0,25 0 0 0 0 0 1\n",
            "groundtruth.txt: 1,5 has a comma for its point; write",
        ),
        ("groundtruth.txt", "# none\n", "groundtruth.txt: no pose; write time"),
        ("groundtruth.txt", None, "groundtruth.txt: missing; write time"),
        ("rgb.txt", "now rgb/1.png\n", "rgb.txt: a line is not a time and a file"),
        ("depth.txt", None, "depth.txt: missing"),
        ("associations.txt", "1.0 rgb/1.png 1.0 rgb/2.png\n", "associations.txt: .* is not the time and the"),
    ],
)
def test_files_of_another_form(tmp_path, file, content, message):
    write_tum(tmp_path / "in", views(POSES))
    path = tmp_path / "in" / file
    path.unlink(missing_ok=True)
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError, match=message):
        read(tmp_path / "in")


def test_columns_may_be_parted_by_commas(tmp_path):
    write_tum(tmp_path / "in", views(POSES))
    for name, comma in (("groundtruth.txt", ","), ("rgb.txt", ", "), ("calibration.txt", ",")):
        path = tmp_path / "in" / name
        path.write_text("\n".join(comma.join(line.split()) for line in path.read_text().splitlines()))
    for frame in imported(tmp_path / "in", tmp_path / "out")[1]:
        check_on_wall(frame)


def test_poses_that_are_none_do_not_count(tmp_path):
    write_tum(tmp_path / "in", views(POSES))
    with (tmp_path / "in" / "groundtruth.txt").open("a") as file:
        file.write("1305031102.2 0 0 0 0 0 0 0\n1305031102.21 nan 0 0 0 0 0 1\n")
    for frame in imported(tmp_path / "in", tmp_path / "out")[1]:
        check_on_wall(frame)


def test_an_image_that_the_list_names_is_missing(tmp_path):
    write_tum(tmp_path / "in", views(POSES))
    file = sorted((tmp_path / "in" / "rgb").iterdir())[1]
    file.unlink()
    assert read(tmp_path / "in").left_out == (LeftOut(f"rgb/{file.name}", "no image"),)
