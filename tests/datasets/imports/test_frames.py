"""Frames of 7-Scenes, 3DMatch and tsdf-fusion, imported and read again.

What people report of them: depth looks like waves, because 65535 is no reading
(andyzeng/tsdf-fusion-python, issue 34); intrinsics of their own camera are needed (andyzeng/tsdf-fusion,
issues 7 and 12); colour of 7-Scenes is not registered to its depth (ardaduz/deep-video-mvs, issue 19).
"""

import shutil

import numpy as np
import pytest
from PIL import Image

from anyscene.datasets import imports
from anyscene.errors import DataError
from anyscene.scene import LeftOut
from tests.builders.importing import imported, read, written
from tests.builders.layouts import turned, write_frames
from tests.builders.wall import check_on_wall, rolled, views

pytestmark = pytest.mark.integration

POSES = tuple(rolled(yaw=yaw) for yaw in (15.0, -20.0, 5.0, -5.0))


@pytest.mark.parametrize("nothing", [0, 65535])
def test_the_world_of_the_first_camera_is_turned_upright(tmp_path, nothing):
    seen, world = views(POSES), turned()
    for view in seen:
        view.depth[:4] = 0
    write_frames(tmp_path / "in", seen, world, nothing)
    capture = read(tmp_path / "in")
    summary, frames = written(capture, tmp_path / "out")
    assert (summary.frames, summary.depth, summary.left_out) == (4, 4, ())
    assert [frame.id for frame in frames] == [f"frame-{index:06d}" for index in range(4)]
    for frame in frames:
        assert not frame.read_depth()[:4].any()
        check_on_wall(frame, drop=0.07, world=capture.world @ world)
    assert (capture.world @ world)[2, 2] > np.cos(np.radians(0.5))  # up is up


def test_up_and_the_unit_may_be_said(tmp_path):
    write_frames(tmp_path / "in", views(POSES[:1]))
    with pytest.raises(DataError, match=r"the images do not agree on what is up .*give --up as an axis"):
        read(tmp_path / "in")
    for frame in imported(tmp_path / "in", tmp_path / "out", up=np.array([0.0, 0, 1]))[1]:
        check_on_wall(frame)
    shutil.rmtree(tmp_path / "out")
    depth = imported(tmp_path / "in", tmp_path / "out", up=np.array([0.0, 0, 1]), depth_unit=0.002)[1][0]
    assert 2 * 2.0 < np.median(depth.read_depth()) < 2 * 2.3


def test_sequences_are_one_scene_in_the_order_of_their_numbers(tmp_path):
    for name, poses in (("seq-01", POSES[:2]), ("seq-10", POSES[3:]), ("seq-2", POSES[2:3])):
        write_frames(tmp_path / "in" / name, views(poses))
        (tmp_path / "in" / name / "camera-intrinsics.txt").replace(tmp_path / "in" / "camera-intrinsics.txt")
    (tmp_path / "in" / "seq-01" / "._frame-000000.color.png").write_bytes(b"\0\5\26\7")
    _, frames = imported(tmp_path / "in", tmp_path / "out", up=np.array([0.0, 0, 1]))
    assert [frame.id for frame in frames] == [
        "seq-01_frame-000000", "seq-01_frame-000001", "seq-2_frame-000000", "seq-10_frame-000000",
    ]  # fmt: skip
    for frame in frames:
        check_on_wall(frame)


def test_seven_scenes_have_no_intrinsics(tmp_path):
    folder = tmp_path / "chess" / "seq-01"
    write_frames(folder, views(POSES))
    (folder / "camera-intrinsics.txt").unlink()
    with pytest.raises(DataError, match=r"centre \(320, 240\) is not near the middle .*\(96x64\).*as 4 of 4"):
        read(folder)  # of 640x480 pixels
    for file in folder.glob("*.color.png"):
        Image.open(file).resize((640, 480)).save(file)
        depth = file.with_name(file.name.replace("color", "depth"))
        Image.open(depth).resize((640, 480), Image.Resampling.NEAREST).save(depth)
    capture = read(folder)
    assert capture.frames[0].camera.intrinsics.tolist() == [[585, 0, 320], [0, 585, 240], [0, 0, 1]]
    assert "which 7-Scenes says of its depth camera; its colour is not registered" in capture.remarks[0]
    folder.parent.replace(tmp_path / "mine")
    with pytest.raises(DataError, match=r"camera-intrinsics\.txt: missing; write the 3x3 intrinsics"):
        read(tmp_path / "mine" / "seq-01")


def no_pose(folder, stem):
    (folder / f"{stem}.pose.txt").unlink()


def lost(folder, stem):
    np.savetxt(folder / f"{stem}.pose.txt", np.full((4, 4), -np.inf))


def empty_pose(folder, stem):
    (folder / f"{stem}.pose.txt").write_text("")


def zero_pose(folder, stem):
    np.savetxt(folder / f"{stem}.pose.txt", np.zeros((4, 4)))


def short_pose(folder, stem):
    np.savetxt(folder / f"{stem}.pose.txt", np.eye(4)[:3])


def no_depth(folder, stem):
    (folder / f"{stem}.depth.png").unlink()


def cut_depth(folder, stem):
    file = folder / f"{stem}.depth.png"
    file.write_bytes(file.read_bytes()[:-60])


def cut_colour(folder, stem):
    file = folder / f"{stem}.color.png"
    file.write_bytes(file.read_bytes()[:-600])


def no_image(folder, stem):
    (folder / f"{stem}.color.png").write_bytes(b"none")


def picture_of_depth(folder, stem):
    Image.new("L", (96, 64), 9).save(folder / f"{stem}.depth.png")


def cropped_depth(folder, stem):
    Image.fromarray(np.full((64, 64), 2000, np.uint16)).save(folder / f"{stem}.depth.png")


def upright(folder, stem):
    Image.new("RGB", (64, 96)).save(folder / f"{stem}.color.png")


def covered(folder, stem):
    Image.fromarray(np.full((64, 96), 30, np.uint16)).save(folder / f"{stem}.depth.png")


DAMAGE = {
    no_pose: "no pose",
    lost: "no pose",
    empty_pose: "no pose",
    zero_pose: "pose not rigid",
    short_pose: "pose not of 4x4 numbers",
    no_depth: "no depth",
    cut_depth: "depth not readable",
    cut_colour: "image not readable",
    no_image: "image not readable",
    picture_of_depth: "depth not in steps of 16 bits",
    cropped_depth: "depth of another shape than its image",
    upright: "image of another shape than its intrinsics",
    covered: "depth of no room",
}


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_a_damaged_frame_is_left_out(tmp_path, damage):
    write_frames(tmp_path / "in", views(POSES))
    damage(tmp_path / "in", "frame-000002")
    summary, frames = imported(tmp_path / "in", tmp_path / "out")
    assert summary.left_out == (LeftOut("frame-000002", DAMAGE[damage]),)
    assert [frame.id[-1] for frame in frames] == ["0", "1", "3"]
    assert f"left out 1 of 4 frames: 1 {DAMAGE[damage]} (frame-000002)" in str(summary)
    for frame in frames:
        check_on_wall(frame)
    assert not list((tmp_path / "out").rglob("*000002*"))


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_damage_of_all_frames_is_an_error(tmp_path, damage):
    write_frames(tmp_path / "in", views(POSES))
    for index in range(4):
        damage(tmp_path / "in", f"frame-{index:06d}")
    with pytest.raises(DataError, match=r"frame-00000\d\..*as 4 of 4 frames"):
        imported(tmp_path / "in", tmp_path / "out")
    assert not list(tmp_path.glob("*out*"))


def test_many_frames_damaged_in_many_ways_have_one_summary(tmp_path):
    """A thousand frames, of which 37 are damaged, all ways in turn."""
    source = tmp_path / "few"
    write_frames(source, views(POSES, size=(24, 16)))
    folder = tmp_path / "in"
    folder.mkdir()
    shutil.copy(source / "camera-intrinsics.txt", folder)
    for index in range(1000):
        for kind in ("color.png", "depth.png", "pose.txt"):
            (folder / f"frame-{index:06d}.{kind}").hardlink_to(source / f"frame-{index % 4:06d}.{kind}")
    ways = list(DAMAGE)
    expected = {}
    for number, index in enumerate(range(13, 1000, 27)):
        stem, damage = f"frame-{index:06d}", ways[number % len(ways)]
        for kind in ("color.png", "depth.png", "pose.txt"):  # a file of its own
            file = folder / f"{stem}.{kind}"
            content = file.read_bytes()
            file.unlink()
            file.write_bytes(content)
        damage(folder, stem)
        expected[stem] = DAMAGE[damage]
    assert len(expected) == 37
    summary = imports.write(read(folder), tmp_path / "out")
    assert {frame.id: frame.why for frame in summary.left_out} == expected
    for name in ("color", "depth", "pose", "intrinsics"):
        assert summary.frames == len(list((tmp_path / "out" / name).iterdir())) == 963
    line = next(line for line in str(summary).splitlines() if line.startswith("left out"))
    assert line.startswith("left out 37 of 1000 frames: ") and "9 no pose (frame-" in line
