"""Captures in nerfstudio's form, imported and read again.

What people report of them: depth of instant-ngp, with a scale of its own (NVlabs/instant-ngp, issues 939 and
1008; 19reborn/NeuS2, issue 80, where it is 1); paths with backslashes (nerfstudio-project/nerfstudio, issue
2386); the unit of poses is none (nerfstudio, issue 3698); one frame without an image (instant-ngp, issue
1229).
"""

import json
import math
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from anyscene.cli import import_
from anyscene.datasets import imports
from anyscene.datasets.imports import ExportOptions, nerfstudio, source_frame
from anyscene.datasets.rgbd import Rgbd
from anyscene.errors import DataError
from anyscene.scene import Camera, LeftOut
from tests.builders.capture import grid, write_ply
from tests.builders.importing import written
from tests.builders.nerfstudio import change, write_capture
from tests.builders.wall import DISTORTION, FOCAL, HEIGHT, WIDTH, check_on_wall, render, rolled

pytestmark = pytest.mark.integration

POSES = (rolled(), rolled(yaw=-20.0))


def read(folder, scale=1.0, depth_unit=0.001, up=None):
    return nerfstudio.read(folder, ExportOptions(scale, depth_unit, up))


def imported(folder, out, scale=1.0, depth_unit=0.001, **options):
    """(summary, frames that the reader finds)."""
    return written(read(folder, scale, depth_unit), out, **options)


def test_colour_and_depth_agree_as_rendered(tmp_path):
    summary, frames = imported(write_capture(tmp_path / "in", POSES), tmp_path / "out")
    assert (summary.frames, summary.depth, summary.undistorted, summary.turned) == (2, 2, 0, 0)
    assert summary.sizes == ((WIDTH, HEIGHT),)
    assert [frame.id for frame in frames] == ["frame_00001", "frame_00002"]
    for frame, pose in zip(frames, POSES, strict=True):
        check_on_wall(frame)
        assert np.array_equal(frame.read_color(), render(pose)[0])


def test_unit_of_poses_and_of_depth(tmp_path):
    folder = write_capture(tmp_path / "in", POSES, unit=0.25, steps=4000.0)
    _, frames = imported(folder, tmp_path / "out", scale=0.25, depth_unit=0.00025)
    for frame in frames:
        check_on_wall(frame)


def test_depth_of_numbers(tmp_path):
    folder = write_capture(tmp_path / "in", POSES, npy=True)
    depth = np.load(folder / "depth" / "frame_00001.npy")
    depth[0, :3] = np.nan, np.inf, -1
    np.save(folder / "depth" / "frame_00001.npy", depth)
    _, frames = imported(folder, tmp_path / "out", depth_unit=1.0)
    assert frames[0].read_depth()[0, :4].tolist()[:3] == [0, 0, 0]
    for frame in frames:
        check_on_wall(frame, drop=0.01)


def test_smaller_depth_keeps_its_size(tmp_path):
    folder = write_capture(tmp_path / "in", POSES, depth_size=(48, 32))
    _, frames = imported(folder, tmp_path / "out")
    assert frames[0].read_depth().shape == (32, 48)
    for frame in frames:
        check_on_wall(frame, place=0.02)  # the reader resizes cameras corner to corner


def test_smaller_images_than_their_intrinsics(tmp_path):
    _, frames = imported(write_capture(tmp_path / "in", POSES, size=(48, 32)), tmp_path / "out")
    assert frames[0].camera.intrinsics[0, 0] == pytest.approx(FOCAL / 2)
    for frame in frames:
        check_on_wall(frame)


def test_distortion_is_taken_out_of_colour_and_depth(tmp_path):
    folder = write_capture(tmp_path / "in", POSES, distortion=DISTORTION)
    summary, frames = imported(folder, tmp_path / "out")
    assert summary.undistorted == 2
    for frame in frames:
        check_on_wall(frame, drop=0.1)


def test_what_a_pinhole_sees_beyond_a_distorted_image_is_nothing():
    camera = Camera([[FOCAL, 0, 47], [0, FOCAL, 31], [0, 0, 1]], np.eye(4), WIDTH, HEIGHT)
    image = source_frame.resampled(
        np.full((HEIGHT, WIDTH), 7, np.uint8),
        camera,
        camera,
        lambda xy: source_frame.perspective(xy, (0.3, 0, 0, 0, 0)),
        order=1,
    )
    assert image[0, 0] == 0 and image[-1, -1] == 0 and np.all(image[20:40, 30:60] == 7)


def test_undistorted_depth_holds_no_depth_between_two(tmp_path):
    folder = write_capture(tmp_path / "in", POSES, distortion=DISTORTION)
    step = np.where(np.arange(WIDTH) < WIDTH // 2, 1000, 3000).astype(np.uint16)
    for file in (folder / "depth").iterdir():
        Image.fromarray(np.tile(step, (HEIGHT, 1))).save(file)
    _, frames = imported(folder, tmp_path / "out")
    assert set(np.unique(frames[0].read_depth()).tolist()) == {1, 3}


def test_depth_is_written_in_the_nearest_millimetre(tmp_path):
    folder = write_capture(tmp_path / "in", POSES, npy=True)
    for file in (folder / "depth").iterdir():
        np.save(file, np.full((HEIGHT, WIDTH), 1.0009, np.float32))
    _, frames = imported(folder, tmp_path / "out", depth_unit=1.0)
    assert np.unique(np.asarray(Image.open(frames[0].depth))).tolist() == [1001]


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_images_on_their_side_are_turned_upright(tmp_path, quarters):
    folder = write_capture(tmp_path / "in", [rolled(quarters), rolled(yaw=-10.0)])
    summary, frames = imported(folder, tmp_path / "out")
    assert summary.turned == 1
    expected = (WIDTH, HEIGHT) if quarters == 2 else (HEIGHT, WIDTH)
    assert (frames[0].camera.width, frames[0].camera.height) == expected
    for frame in frames:
        check_on_wall(frame)
        rgb = frame.read_color().astype(int)
        assert rgb[0, :, 2].mean() > rgb[-1, :, 2].mean() + 20  # blue grows upwards
        assert rgb[:, -1, 0].mean() > rgb[:, 0, 0].mean() + 20  # red to the right


def test_image_that_looks_down_is_left_as_it_is(tmp_path):
    down = np.diag([1.0, 1, 1, 1])  # OpenGL: view direction -z
    down[:3, 3] = 0.5, 0, 1.5
    camera = Camera(np.eye(3), down @ source_frame.OPENGL, 4, 4)
    assert source_frame.quarters(camera) == 0


def test_exif_orientation_that_the_intrinsics_count_with(tmp_path):
    folder = write_capture(tmp_path / "in", POSES, exif=6)
    _, frames = imported(folder, tmp_path / "out")
    for frame in frames:
        check_on_wall(frame)


@pytest.mark.parametrize("quarters", [0, 1])
def test_exif_orientation_that_the_intrinsics_do_not_count_with(tmp_path, quarters):
    folder = write_capture(tmp_path / "in", [rolled(quarters)])
    path = folder / "images" / "frame_00001.png"
    with Image.open(path) as image:
        tags = image.getexif()
        tags[0x0112] = 6
        image.save(path, exif=tags)
    _, frames = imported(folder, tmp_path / "out")
    check_on_wall(frames[0])


@pytest.mark.parametrize("orientation", [3, 4])
def test_exif_orientation_that_no_size_tells_is_asked_for(tmp_path, orientation):
    folder = write_capture(tmp_path / "in", POSES[:1])
    path = folder / "images" / "frame_00001.png"
    with Image.open(path) as image:
        tags = image.getexif()
        tags[0x0112] = orientation
        image.save(path, exif=tags)
    with pytest.raises(DataError, match=rf"frame 0: .*frame_00001\.png: EXIF orientation {orientation}, and"):
        read(folder)


def test_intrinsics_of_each_frame_and_several_sizes(tmp_path):
    folder = write_capture(tmp_path / "in", POSES)
    small, depth = render(POSES[1], (48, 32))
    Image.fromarray(small).save(folder / "images" / "frame_00002.png")
    Image.fromarray(np.rint(1000 * depth).astype(np.uint16)).save(folder / "depth" / "frame_00002.png")
    change(folder, 0, fl_x=FOCAL)
    change(folder, fl_x=1.0)
    change(folder, 1, fl_x=FOCAL / 2, fl_y=FOCAL / 2, cx=23.5, cy=16.75, w=48, h=32)
    content = json.loads((folder / "transforms.json").read_text())
    content["frames"].reverse()  # not the order of the names
    (folder / "transforms.json").write_text(json.dumps(content))
    summary, frames = imported(folder, tmp_path / "out")
    assert summary.sizes == ((48, 32), (WIDTH, HEIGHT))
    assert [frame.read_depth().shape for frame in frames] == [(HEIGHT, WIDTH), (32, 48)]
    for frame in frames:
        check_on_wall(frame)


def test_angle_of_instant_ngp(tmp_path):
    folder = write_capture(tmp_path / "in", POSES)
    angle = 2 * math.atan(WIDTH / 2 / FOCAL)
    change(folder, fl_x=None, fl_y=None, camera_angle_x=angle)
    _, frames = imported(folder, tmp_path / "out")
    check_on_wall(frames[0])


def as_of_instant_ngp(folder, step):
    content = json.loads((folder / "transforms.json").read_text())
    for frame in content["frames"]:
        frame["depth_path"] = frame.pop("depth_file_path")
    (folder / "transforms.json").write_text(json.dumps(content | {"integer_depth_scale": step}))


def test_depth_of_instant_ngp(tmp_path):
    folder = write_capture(tmp_path / "in", POSES, unit=0.25, steps=5000.0)
    as_of_instant_ngp(folder, 4 / 5000)  # 4 units of the poses are a metre
    summary, frames = written(read(folder, 0.25, None), tmp_path / "out")
    assert summary.depth == len(POSES)
    for frame in frames:
        check_on_wall(frame)
    as_of = tmp_path / "told"
    folder = write_capture(tmp_path / "other", POSES)
    as_of_instant_ngp(folder, 1)  # which is wrong, and what is told counts
    with pytest.raises(DataError, match=r"half of it is beyond .* --depth-unit"):
        imports.write(read(folder, 1.0, None), as_of)
    for frame in written(read(folder, 1.0, 0.001), as_of)[1]:
        check_on_wall(frame)


@pytest.mark.parametrize("step", [0, -1, "mm", None, True, 10**400, float("nan")])
def test_a_step_of_depth_that_is_no_length(tmp_path, step):
    folder = write_capture(tmp_path / "in", POSES)
    as_of_instant_ngp(folder, step)
    with pytest.raises(DataError, match=r"transforms\.json: integer_depth_scale is .*, no length"):
        read(folder, 1.0, None)


def test_names_from_several_folders(tmp_path):
    folder = write_capture(tmp_path / "in", POSES)
    (folder / "left").mkdir()
    (folder / "images" / "frame_00002.png").rename(folder / "left" / "frame_00001.png")
    change(folder, 1, file_path="left/frame_00001.png")
    _, frames = imported(folder, tmp_path / "out")
    assert [frame.id for frame in frames] == ["images_frame_00001", "left_frame_00001"]


def test_mesh_instead_of_depth(tmp_path):
    folder = write_capture(tmp_path / "in", POSES, unit=0.5)
    for frame in range(2):
        change(folder, frame, depth_file_path=None)
    with pytest.raises(DataError, match=r"frame_00001\.png: no depth, and no mesh: .*give --mesh"):
        imported(folder, tmp_path / "out", scale=0.5)
    xyz, face = grid(6)
    write_ply(tmp_path / "mesh.ply", xyz * 2, np.zeros((len(xyz), 3), np.uint8), face)
    summary = imports.write(read(folder, 0.5, None), tmp_path / "out", tmp_path / "mesh.ply")
    scene = Rgbd(tmp_path, "test").read("out")
    assert summary.depth == 0 and np.allclose(scene.xyz, xyz) and scene.frames[0].depth is None


def test_what_the_file_does_not_say_is_asked_for(tmp_path):
    folder = write_capture(tmp_path / "in", POSES)
    with pytest.raises(DataError, match="does not say how long its unit is; give --scale 1"):
        read(folder, scale=None)
    with pytest.raises(DataError, match="does not say the unit of its depth; give --depth-unit mm"):
        read(folder, depth_unit=None)
    with pytest.raises(DataError, match=r"--scale 1 .*; nor the unit of its depth; give --depth-unit mm"):
        read(folder, scale=None, depth_unit=None)


@pytest.mark.parametrize("unit", [1.0, 1e-6])
def test_wrong_unit_of_depth_is_seen(tmp_path, unit):
    capture = read(write_capture(tmp_path / "in", POSES), depth_unit=unit)
    with pytest.raises(DataError, match=r"frame_00001\.png: half of it is beyond .* --depth-unit"):
        imports.write(capture, tmp_path / "out")
    assert not list(tmp_path.glob("*out*"))  # nothing is left behind


@pytest.mark.parametrize(
    ("frame", "values", "message"),
    [
        (None, {"camera_model": "FISHEYE624"}, "FISHEYE624 cannot be undistorted here"),
        (None, {"k4": 0.1}, "k4 of OPENCV is not supported"),
        (None, {"w": None, "cx": 90.0}, r"frame 0: centre \(89\.5, 33\) is not near the middle"),
        (None, {"w": "wide"}, "frame 0: camera lacks or garbles invalid literal"),
        (None, {"w": 0}, "frame 0: .*intrinsics of 0x64 pixels"),
        (None, {"w": float("inf")}, "frame 0: camera lacks or garbles"),
        (1, {"transform_matrix": [[10**400, 0, 0, 0]] * 4}, "frame 1: camera lacks or garbles"),
        (None, {"fl_x": None}, "frame 0: camera lacks or garbles 'camera_angle_x'"),
        (None, {"fl_x": -1.0}, "frame 0: focal lengths must be positive"),
        (None, {"w": HEIGHT, "h": WIDTH}, r"frame_00001\.png: 96x64 pixels, the intrinsics are of 64x96"),
        (None, {"frames": []}, "no frames; export it again"),
        (1, {"transform_matrix": [[1, 0], [0, 1]]}, "frame 1: camera lacks or garbles"),
        (1, {"transform_matrix": np.diag([2.0, 1, 1, 1]).tolist()}, "frame 1: camera pose is singular"),
        (1, {"file_path": None}, "frame 1: names no file_path"),
        (1, {"file_path": "images/frame_00001.png"}, "two frames are the file images_frame_00001"),
    ],
)  # fmt: skip
def test_bad_captures(tmp_path, frame, values, message):
    folder = write_capture(tmp_path / "in", POSES)
    change(folder, frame, **values)
    with pytest.raises(DataError, match=message):
        read(folder)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"transform_matrix": [[1, 0], [0, 1]]}, "camera not readable"),
        ({"transform_matrix": "none"}, "camera not readable"),
        ({"transform_matrix": None}, "camera not readable"),
        ({"transform_matrix": np.diag([np.nan, 1, 1, 1]).tolist()}, "no pose"),
        ({"transform_matrix": np.diag([2.0, 1, 1, 1]).tolist()}, "pose not rigid"),
        ({"fl_x": "wide"}, "camera not readable"),
        ({"fl_x": 0.0}, "intrinsics of no camera"),
        ({"w": 64, "h": 96}, "image of another shape than its intrinsics"),
        ({"w": 0, "h": 0}, "intrinsics of no camera"),
        ({"camera_model": "FISHEYE624"}, "lens of another model"),
        ({"k4": 0.1}, "lens of another model"),
        ({"file_path": None}, "camera not readable"),
        (None, "camera not readable"),
    ],
)
def test_a_garbled_camera_leaves_its_frame_out(tmp_path, values, why):
    """Of one frame, as every other damage (NVlabs/instant-ngp, issue 1229)."""
    folder = write_capture(tmp_path / "in", [*POSES, rolled(yaw=5.0)])
    if values is None:
        content = json.loads((folder / "transforms.json").read_text())
        content["frames"][1] = "images/frame_00002.png"
        (folder / "transforms.json").write_text(json.dumps(content))
    else:
        change(folder, 1, **values)
    summary, frames = imported(folder, tmp_path / "out")
    assert [frame.why for frame in summary.left_out] == [why]
    assert [frame.id for frame in frames] == ["frame_00001", "frame_00003"]
    for frame in frames:
        check_on_wall(frame)


@pytest.mark.parametrize("of_angle", [False, True])
def test_without_a_size_it_is_that_of_the_images(tmp_path, of_angle):
    """As Blender's scripts for NeRF write it, and cameras of each frame (MrNeRF/LichtFeld-Studio, issue
    1608)."""
    folder = write_capture(tmp_path / "in", POSES)
    change(folder, w=None, h=None)
    if of_angle:
        change(folder, fl_x=None, fl_y=None, camera_angle_x=2 * np.arctan(WIDTH / 2 / FOCAL))
    for frame in imported(folder, tmp_path / "out")[1]:
        check_on_wall(frame)


def test_an_archive_reaches_nothing_outside_itself(tmp_path):
    folder = write_capture(tmp_path / "in" / "room", POSES)
    outside = shutil.copy(folder / "images" / "frame_00001.png", tmp_path / "outside.png")
    for name in ("../outside.png", "../../outside.png", outside):
        change(folder, 1, file_path=str(name))
        archive = shutil.make_archive(str(tmp_path / "room"), "zip", tmp_path / "in")
        with zipfile.ZipFile(archive, "a") as packed:
            packed.writestr("../climbed.png", (folder / "images" / "frame_00001.png").read_bytes())
        capture = imports.read(Path(archive), "nerfstudio", ExportOptions(1.0, 0.001))
        assert capture.left_out == (LeftOut(str(name), "no image"),) and len(capture.frames) == 1
    change(folder, 1, file_path="images/frame_00002.png")
    archive = shutil.make_archive(str(tmp_path / "room"), "zip", tmp_path / "in")
    with zipfile.ZipFile(archive, "a") as packed:
        packed.writestr("../climbed.png", b"")
    imports.write(
        imports.read(Path(archive), "nerfstudio", ExportOptions(1.0, 0.001)), tmp_path / "a" / "out"
    )
    assert not list(tmp_path.rglob("climbed*"))


def test_missing_and_broken_transforms(tmp_path):
    with pytest.raises(DataError, match=r"transforms\.json: missing; give the folder"):
        read(tmp_path)
    (tmp_path / "transforms.json").write_text('{"frames": [')
    with pytest.raises(DataError, match=r"transforms\.json: not a nerfstudio capture"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.zeros((HEIGHT, WIDTH), np.uint8), r"uint8\[64, 96\] is a picture of depth, not depth"),
        (np.full((WIDTH, HEIGHT), 2000, np.uint16), "64x96, its image 96x64: turned or cropped"),
        (None, "not a readable depth map"),
    ],
)
def test_bad_depth(tmp_path, pixels, message):
    folder = write_capture(tmp_path / "in", POSES)
    path = folder / "depth" / "frame_00002.png"
    path.write_bytes(b"none") if pixels is None else Image.fromarray(pixels).save(path)
    with pytest.raises(DataError, match=rf"frame_00002\.png: {message}"):
        imported(folder, tmp_path / "out")


@pytest.mark.parametrize("mesh", [False, True])
def test_frames_without_depth_are_left_out_where_others_have_it(tmp_path, mesh):
    folder = write_capture(tmp_path / "in", POSES)
    change(folder, 1, depth_file_path=None)
    xyz, face = grid(6)
    write_ply(tmp_path / "mesh.ply", xyz, np.zeros((len(xyz), 3), np.uint8), face)
    summary, frames = imported(folder, tmp_path / "out", mesh=tmp_path / "mesh.ply" if mesh else None)
    assert summary.left_out == (LeftOut("frame_00002", "no depth"),) and len(frames) == 1


def test_files_that_are_missing_leave_their_frames_out(tmp_path):
    folder = write_capture(tmp_path / "in", [*POSES, rolled(yaw=5.0)])
    change(folder, 0, file_path="images/none.png")
    change(folder, 1, depth_file_path="depth/none.png")
    summary, frames = imported(folder, tmp_path / "out")
    assert [frame.why for frame in summary.left_out] == ["no image", "no depth"]
    check_on_wall(frames[0])


@pytest.mark.parametrize("form", ["no ending", "backslashes", "upper case", "both"])
def test_paths_as_other_tools_write_them(tmp_path, form):
    """Blender's and instant-ngp's have no ending, those of Windows have backslashes."""
    folder = write_capture(tmp_path / "in", POSES)
    for index in range(2):
        names = {
            "file_path": f"images/frame_{index + 1:05d}",
            "depth_file_path": f"depth/frame_{index + 1:05d}",
        }
        if form == "upper case":
            for name in names.values():
                (folder / f"{name}.png").rename(folder / f"{name}.PNG")
        if form in ("backslashes", "both"):
            names = {key: name.replace("/", "\\") for key, name in names.items()}
        change(
            folder,
            index,
            **{key: name + (".png" if form == "backslashes" else "") for key, name in names.items()},
        )
    _, frames = imported(folder, tmp_path / "out")
    assert [frame.id for frame in frames] == ["frame_00001", "frame_00002"]
    for frame in frames:
        check_on_wall(frame)


def test_depth_of_upright_and_level_frames_keeps_its_size(tmp_path):
    poses = [rolled(1), rolled(yaw=-20.0)]
    _, frames = imported(write_capture(tmp_path / "in", poses, depth_size=(24, 16)), tmp_path / "out")
    assert [frame.read_depth().shape for frame in frames] == [(24, 16), (16, 24)]
    for frame in frames:
        check_on_wall(frame, place=0.05, depth=0.02)


def test_a_fisheye_is_straightened_and_filled(tmp_path):
    """Its pinhole is that of the least focal length at which no pixel is empty."""
    k1, k2, k3, k4 = bends = (-0.03, -0.006, 0.002, -0.0005)
    folder = write_capture(tmp_path / "in", POSES)
    for index, pose in enumerate(POSES):
        rgb, depth = render(pose, fisheye=bends)
        Image.fromarray(rgb).save(folder / "images" / f"frame_{index + 1:05d}.png")
        stored = np.rint(1000 * depth).astype(np.uint16)
        Image.fromarray(stored).save(folder / "depth" / f"frame_{index + 1:05d}.png")
    change(folder, camera_model="OPENCV_FISHEYE", k1=k1, k2=k2, k3=k3, k4=k4)
    summary, frames = imported(folder, tmp_path / "out")
    assert summary.undistorted == 2
    for frame in frames:
        assert (frame.read_depth() > 0).all() and frame.camera.intrinsics[0, 0] < FOCAL
        check_on_wall(frame)


def test_command(tmp_path):
    folder = write_capture(tmp_path / "in", POSES)
    arguments = [
        str(folder),
        "--from",
        "nerfstudio",
        "--out",
        str(tmp_path / "data" / "room"),
        "--scale",
        "1",
    ]
    result = CliRunner().invoke(import_.app, [*arguments, "--depth-unit", "mm"])
    assert result.exit_code == 0, result.stderr
    assert "room: 2 frames of 96x64; 2 with depth" in result.stdout
    check_on_wall(Rgbd(tmp_path / "data", "test").read("room").frames[0])
    result = CliRunner().invoke(import_.app, [*arguments, "--depth-unit", "mm"])
    assert result.exit_code == 1 and "exists; delete it or give another --out" in result.stderr
    result = CliRunner().invoke(import_.app, [*arguments, "--depth-unit", "cm"])
    assert result.exit_code == 1 and "--depth-unit cm: give mm, m, or" in result.stderr
    result = CliRunner().invoke(import_.app, [*arguments[:-1], "0"])
    assert result.exit_code == 1 and "--scale 0: must be 1e-09 to 1e+09" in result.stderr
