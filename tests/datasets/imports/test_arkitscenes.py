"""Videos of ARKitScenes, imported and read again.

What people report of them: one image in six has a pose (apple/ARKitScenes, issue 8); times of poses, images
and depth do not match to the digit (issues 30 and 77); which way the poses go, and which axis is up (issue
26).
"""

import numpy as np
import pytest

from anyscene.datasets.rgbd import Rgbd
from anyscene.errors import DataError
from tests.builders.capture import grid, write_ply
from tests.builders.importing import imported, read
from tests.builders.layouts import FIRST, VIDEO, turned, write_arkitscenes, write_color
from tests.builders.wall import HEIGHT, WIDTH, check_on_wall, rolled, views

POSES = tuple(rolled(yaw=yaw) for yaw in (15.0, -20.0, 5.0))
MOVED = turned((0, 0, 1.9))


def test_frames_are_where_the_trajectory_says(tmp_path):
    times = write_arkitscenes(tmp_path / VIDEO, views(POSES, depth_size=(48, 32)), MOVED)
    summary, frames = imported(tmp_path / VIDEO, tmp_path / "out")
    assert (summary.frames, summary.depth, summary.left_out) == (3, 3, ())
    assert [frame.id for frame in frames] == times
    for frame in frames:
        check_on_wall(frame, place=0.02, world=MOVED)  # the reader resizes cameras corner to corner


def test_a_device_held_upright(tmp_path):
    write_arkitscenes(tmp_path / VIDEO, views([rolled(1), rolled(1, yaw=-20.0)]))
    summary, frames = imported(tmp_path / VIDEO, tmp_path / "out")
    assert summary.turned == 2 and summary.sizes == ((HEIGHT, WIDTH),)
    for frame in frames:
        check_on_wall(frame)


def test_between_two_poses_a_frame_is_interpolated_and_beyond_left_out(tmp_path):
    write_arkitscenes(tmp_path / VIDEO, views([POSES[0]] * 8))
    path = tmp_path / VIDEO / "lowres_wide.traj"
    lines = path.read_text().splitlines()
    times = [FIRST - 0.05, FIRST + 0.05, FIRST + 0.15, FIRST + 0.6, FIRST + 0.702]  # frames are 0.1 s apart
    path.write_text("\n".join(f"{time} {' '.join(lines[0].split()[1:])}" for time in times))
    summary, frames = imported(tmp_path / VIDEO, tmp_path / "out")
    assert [frame.id for frame in frames] == [f"{FIRST + at:.3f}" for at in (0, 0.1, 0.6, 0.7)]
    assert [frame.why for frame in summary.left_out] == ["no pose"] * 4
    for frame in frames:
        check_on_wall(frame)


def test_frames_without_depth_or_camera_are_left_out(tmp_path):
    times = write_arkitscenes(tmp_path / VIDEO, views([*POSES, rolled()]))
    (tmp_path / VIDEO / "lowres_depth" / f"{VIDEO}_{times[0]}.png").unlink()
    next((tmp_path / VIDEO / "lowres_wide_intrinsics").glob(f"{VIDEO}_{times[2]}*")).unlink()
    left_out = imported(tmp_path / VIDEO, tmp_path / "out")[0].left_out
    assert [(frame.id, frame.why) for frame in left_out] == [
        (times[0], "no depth"),
        (times[2], "no intrinsics"),
    ]


def test_larger_images_are_preferred(tmp_path):
    seen = views(POSES)
    times = write_arkitscenes(tmp_path / VIDEO, seen)
    folder = tmp_path / VIDEO
    large = views(POSES, size=(2 * WIDTH, 2 * HEIGHT))
    (folder / "vga_wide_intrinsics").mkdir()
    for time, view in zip(times, large, strict=True):
        later = f"{VIDEO}_{float(time) + 0.004:.3f}"
        write_color(folder / "vga_wide" / f"{later}.png", view)
        camera = (*view.rgb.shape[1::-1], *view.focal, view.centre[0] - 0.5, view.centre[1] - 0.5)
        (folder / "vga_wide_intrinsics" / f"{later}.pincam").write_text(" ".join(map(str, camera)))
    _, frames = imported(folder, tmp_path / "out")
    assert frames[0].read_color().shape == (2 * HEIGHT, 2 * WIDTH, 3)
    assert frames[0].read_depth().shape == (HEIGHT, WIDTH)


@pytest.mark.parametrize(("least", "dropped"), [(0, 0), (1, 1), (2, 2)])
def test_depth_of_low_confidence_is_dropped(tmp_path, least, dropped):
    sure = np.full((HEIGHT, WIDTH), 2, np.uint8)
    sure[: HEIGHT // 2, : WIDTH // 2], sure[: HEIGHT // 2, WIDTH // 2 :] = 0, 1
    write_arkitscenes(tmp_path / VIDEO, views(POSES), confidence=[sure] * 3)
    depth = imported(tmp_path / VIDEO, tmp_path / "out", confidence=least)[1][0].read_depth()
    assert (depth == 0).mean() == pytest.approx(dropped / 4)


def test_the_mesh_of_the_device_gives_the_points(tmp_path):
    folder = tmp_path / VIDEO / f"{VIDEO}_frames"  # as in 3DOD's part
    write_arkitscenes(folder, views(POSES))
    xyz, face = grid(6)
    write_ply(tmp_path / VIDEO / f"{VIDEO}_3dod_mesh.ply", xyz, np.zeros((36, 3), np.uint8), face)
    imported(folder, tmp_path / "out")
    assert np.allclose(Rgbd(tmp_path, "test").read("out").xyz, xyz, atol=1e-6)


def test_what_is_missing_or_said_already(tmp_path):
    write_arkitscenes(tmp_path / VIDEO, views(POSES))
    for given in ({"scale": 1.0}, {"depth_unit": 0.001}, {"up": "images"}):
        with pytest.raises(DataError, match=r"leave out --.*: ARKitScenes has metres"):
            read(tmp_path / VIDEO, **given)
    named = next((tmp_path / VIDEO / "lowres_wide").iterdir())
    other = named.with_name("a_second.png")
    named.rename(other)
    with pytest.raises(DataError, match=r"a_second\.png: its name is not VIDEO_TIME\.png; delete it"):
        read(tmp_path / VIDEO)
    other.rename(named)
    (tmp_path / VIDEO / "lowres_wide").rename(tmp_path / VIDEO / "ultrawide")
    with pytest.raises(DataError, match="no vga_wide/ or lowres_wide/ or wide/; download one of them"):
        read(tmp_path / VIDEO)
    (tmp_path / VIDEO / "lowres_wide.traj").write_text("")
    with pytest.raises(DataError, match=r"lowres_wide\.traj: no pose; download it again"):
        read(tmp_path / VIDEO)


@pytest.mark.parametrize("place", [0, 2])
@pytest.mark.parametrize("number", ["nan", "-3", "inf"])
def test_a_frame_whose_camera_has_no_numbers_is_left_out(tmp_path, place, number):
    write_arkitscenes(tmp_path / VIDEO, views(POSES))
    first = min((tmp_path / VIDEO / "lowres_wide_intrinsics").iterdir())
    numbers = first.read_text().split()
    numbers[place] = number
    first.write_text(" ".join(numbers))
    summary = imported(tmp_path / VIDEO, tmp_path / "out")[0]
    assert [one.why for one in summary.left_out] == ["intrinsics of no camera"]
