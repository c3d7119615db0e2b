"""Exports that contradict themselves: refused by the first look, with the options that set them right."""

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from anyscene.cli import doctor, import_
from anyscene.datasets.rgbd import Rgbd
from tests.builders import box_room, layouts
from tests.builders.box_room import OPENGL, along_rays
from tests.builders.capture import write_ply

pytestmark = pytest.mark.integration


def run(*words):
    result = CliRunner().invoke(import_.app, [str(word) for word in words])
    return result.exit_code, " ".join(result.output.split())


TOLD = ("--scale", 1, "--depth-unit", "mm")


def check_room(folder, turned=False, atol=1e-6):
    """The frames are those of the room. turned: whether its world is another."""
    frames = Rgbd(folder.parent, "test").read(folder.name).frames
    for frame, right in zip(frames, box_room.frames(), strict=True):
        assert np.allclose(frame.read_depth(), right.depth, atol=0.002)
        assert turned or np.allclose(frame.camera.pose, right.camera.pose, atol=atol)


def test_a_right_export_passes_and_the_numbers_are_printed(tmp_path):
    export = box_room.write_transforms(tmp_path / "in")
    status, said = run(export, *TOLD, "--out", tmp_path / "out")
    assert status == 0 and "depth against depth: agree 9" in said and "surface" not in said
    check_room(tmp_path / "out")


def test_frames_whose_depth_was_swapped_are_named_by_import_and_doctor(tmp_path):
    export = box_room.write_transforms(tmp_path / "in")
    depth = export / "depth"
    (depth / "3.png").rename(depth / "other")
    (depth / "7.png").rename(depth / "3.png")
    (depth / "other").rename(depth / "7.png")
    status, said = run(export, *TOLD, "--out", tmp_path / "out")
    assert status == 0 and "out: frames 3 (" in said and "are their depth maps or poses swapped?" in said
    assert len(Rgbd(tmp_path, "test").read("out").frames) == 12
    said = CliRunner().invoke(doctor.app, [str(tmp_path / "out")]).output
    assert "frames 3 (" in " ".join(said.split())


WRONG = [
    ({"pose": lambda one: one}, TOLD, ["--axes", "opencv"]),
    ({"pose": lambda one: np.linalg.inv(one) }, TOLD, ["--poses", "world-to-camera", "--axes", "opencv"]),
    ({"pose": lambda one: np.linalg.inv(one @ OPENGL)}, TOLD, ["--poses", "world-to-camera"]),
    ({"steps": 5000.0}, TOLD, ["--depth-unit", "0.0002"]),
    ({}, ("--scale", 10, "--depth-unit", "mm"), ["--scale", "1"]),
]  # fmt: skip


@pytest.mark.parametrize(("written", "told", "remedy"), WRONG, ids=[" ".join(one[2]) for one in WRONG])
def test_wrong_exports_name_the_options_that_set_them_right(tmp_path, written, told, remedy):
    export = box_room.write_transforms(tmp_path / "in", **written)
    status, said = run(export, *told, "--out", tmp_path / "out")
    assert status == 1 and not (tmp_path / "out").exists(), said
    assert said.startswith("out: its depth maps contradict each other"), said
    given = said.rpartition(": give ")[2].split()
    assert dict(zip(given[::2], given[1::2], strict=True)) == dict(
        zip(remedy[::2], remedy[1::2], strict=True)
    ), said
    kept = [word for pair in zip(told[::2], told[1::2], strict=True) if pair[0] not in given for word in pair]
    status, said = run(export, *kept, *given, "--out", tmp_path / "out")
    assert status == 0, said
    check_room(tmp_path / "out", turned="world-to-camera" in given)


def test_distance_along_the_ray(tmp_path):
    export = box_room.write_transforms(tmp_path / "in")
    for k, frame in enumerate(box_room.frames()):
        np.save(export / "depth" / f"{k}.npy", along_rays(frame.depth).astype(np.float32))
    text = (export / "transforms.json").read_text()
    names = [f'"depth/{k}.' for k in range(12)]
    for name in names:
        text = text.replace(f'{name}png"', f'{name}npy"')
    (export / "transforms.json").write_text(text)
    told = ("--scale", 1, "--depth-unit", "m")
    status, said = run(export, *told, "--out", tmp_path / "out")
    assert status == 1 and said.endswith(": give --depth-form ray"), said
    assert run(export, *told, "--depth-form", "ray", "--out", tmp_path / "out")[0] == 0
    check_room(tmp_path / "out")


def test_anyway_goes_on_with_a_warning(tmp_path):
    export = box_room.write_transforms(tmp_path / "in", pose=lambda one: one)
    status, said = run(export, *TOLD, "--anyway", "--out", tmp_path / "out")
    assert status == 0 and "contradict each other" in said and said.endswith(": give --axes opencv")


def test_a_mesh_of_another_world_is_refused(tmp_path):
    export = box_room.write_transforms(tmp_path / "in")
    xyz = box_room.surface()
    corner = np.arange(len(xyz) - 2)
    face, rgb = np.stack([corner, corner + 1, corner + 2], 1), np.zeros((len(xyz), 3), np.uint8)
    write_ply(tmp_path / "right.ply", xyz, rgb, face)
    write_ply(tmp_path / "wrong.ply", xyz[:, [0, 2, 1]] * [1, 1, -1], rgb, face)
    status, said = run(export, *TOLD, "--mesh", tmp_path / "wrong.ply", "--out", tmp_path / "out")
    assert status == 1 and "its mesh contradicts its depth maps" in said
    assert "as (x, -z, y) it does not" in said
    status, said = run(export, *TOLD, "--mesh", tmp_path / "right.ply", "--out", tmp_path / "out")
    assert status == 0 and "surface against depth: agree 9" in said


def test_the_world_that_is_turned_up_does_not_hide_inverse_poses(tmp_path):
    """Inverses are sought in the axes of the export, not in those of the scan."""
    aside = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])  # y is up
    export = box_room.write_transforms(tmp_path / "in", pose=lambda one: np.linalg.inv(aside @ one @ OPENGL))
    status, said = run(export, *TOLD, "--up", "y", "--out", tmp_path / "out")
    assert status == 1 and said.endswith(": give --poses world-to-camera"), said
    told = (*TOLD, "--up", "y", "--poses", "world-to-camera")
    assert run(export, *told, "--out", tmp_path / "out")[0] == 0
    check_room(tmp_path / "out")


def test_doctor_of_a_scan(tmp_path):
    box_room.write_scan(tmp_path / "right")
    box_room.write_scan(tmp_path / "wrong", steps=lambda metres: 5000 * metres)
    result = CliRunner().invoke(doctor.app, [str(tmp_path / "right")])
    said = " ".join(result.output.split())
    assert result.exit_code == 0 and "12 frames, 12 with depth" in said, said
    assert "depth against depth: agree 9" in said and "surface against depth: agree 9" in said
    assert "torch" not in said
    result = CliRunner().invoke(doctor.app, [str(tmp_path / "wrong"), "--json"])
    assert result.exit_code == 1 and '{\\"depth_scale\\": 5000.0} in' in result.output
    export = box_room.write_transforms(tmp_path / "export")
    result = CliRunner().invoke(doctor.app, [str(export), *map(str, TOLD)])
    assert result.exit_code == 0 and "12 frames of 64x48" in result.output
    result = CliRunner().invoke(doctor.app, ["--scale", "2"])
    assert result.exit_code == 1 and "leave out --scale" in result.output


def opengl(pose):
    return pose @ OPENGL


MISREAD = [  # what is written of poses and depth, but for the unit -> the options that set it right
    ({"pose": np.linalg.inv}, ["--poses", "world-to-camera"]),
    ({"pose": opengl}, ["--axes", "opengl"]),
    ({"depth": along_rays}, ["--depth-form", "ray"]),
]
LAYOUTS = {  # how it is written -> its unit, and another one
    layouts.write_frames: (0.001, 0.0002),
    layouts.write_tum: (0.0002, 0.001),
    layouts.write_replica: (1 / 6553.5, 0.001),
    layouts.write_open3d: (0.001, 0.0002),
}


@pytest.mark.parametrize("write", LAYOUTS, ids=lambda write: write.__name__)
@pytest.mark.parametrize(("written", "remedy"), [*MISREAD, (None, None)])
def test_layouts_that_people_write_themselves(tmp_path, write, written, remedy):
    """They name the options that set them right, and are right with these."""
    unit, other = LAYOUTS[write]
    if written is None:
        written, remedy = {"depth": lambda metres: metres * unit / other}, ["--depth-unit", f"{other:g}"]
    write(tmp_path / "in" / "room", box_room.views(**written))
    told = (tmp_path / "in" / "room", "--up", "z")
    status, said = run(*told, "--out", tmp_path / "out")
    assert status == 1 and not (tmp_path / "out").exists(), said
    assert "depth maps contradict each other" in said and said.endswith(f": give {' '.join(remedy)}"), said
    status, said = run(*told, *remedy, "--out", tmp_path / "out")
    assert status == 0 and "contradict" not in said, said
    check_room(tmp_path / "out", atol=1e-5)


@pytest.mark.parametrize("write", [layouts.write_frames, layouts.write_open3d])
def test_inverse_poses_are_named_where_they_hide_what_is_up(tmp_path, write):
    write(tmp_path / "in" / "room", box_room.views(np.linalg.inv))
    status, said = run(tmp_path / "in" / "room", "--out", tmp_path / "out")
    assert status == 1 and "the images do not agree on what is up" in said
    assert "they would with --poses world-to-camera; give that, or --up" in said
    assert run(tmp_path / "in" / "room", "--poses", "world-to-camera", "--out", tmp_path / "out")[0] == 0
    check_room(tmp_path / "out", atol=1e-5)


@pytest.mark.parametrize("write", [layouts.write_arkitscenes, layouts.write_scannetpp_iphone])
@pytest.mark.parametrize(("written", "remedy"), MISREAD)
def test_layouts_that_say_how_they_are_meant(tmp_path, write, written, remedy):
    """They take no options, and are refused where they contradict themselves."""
    write(tmp_path / "in" / "room", box_room.views())
    status, said = run(tmp_path / "in" / "room", *remedy, "--out", tmp_path / "out")
    assert status == 1 and f"leave out {remedy[0]}: its form says how" in said
    write(tmp_path / "wrong" / "room", box_room.views(**written))
    status, said = run(tmp_path / "wrong" / "room", "--out", tmp_path / "out")
    assert status == 1 and said.endswith(": correct its files"), said


def test_one_image_of_sun_rgbd_takes_no_options(tmp_path):
    layouts.write_sunrgbd(tmp_path / "in" / "room", box_room.views()[0])
    for remedy in (["--poses", "world-to-camera"], ["--axes", "opengl"], ["--depth-form", "axis"]):
        status, said = run(tmp_path / "in" / "room", *remedy, "--out", tmp_path / "out")
        assert status == 1 and f"leave out {remedy[0]}: its form says how" in said


BENDS = (-0.03, -0.006, 0.002, -0.0005)


def test_a_fisheye_agrees_with_itself(tmp_path):
    right = box_room.write_transforms(tmp_path / "right", bends=BENDS)
    status, said = run(right, *TOLD, "--out", tmp_path / "out")
    assert status == 0 and "12 images straightened" in said
    assert "depth against depth: agree 9" in said and "contradict" not in said
    wrong = box_room.write_transforms(tmp_path / "wrong", bends=BENDS, pose=lambda one: one)
    status, said = run(wrong, *TOLD, "--out", tmp_path / "none")
    assert status == 1 and said.endswith(": give --axes opencv"), said


def test_a_fisheye_with_depth_along_the_ray(tmp_path):
    """The rays are those of the lens, whatever becomes of its images."""
    export = box_room.write_transforms(tmp_path / "in", bends=BENDS)
    assert run(export, *TOLD, "--out", tmp_path / "axis")[0] == 0
    lengths = np.linalg.norm(box_room.rays(bends=BENDS), axis=-1)
    for file in (export / "depth").iterdir():
        along = np.rint(np.asarray(Image.open(file)) * lengths).astype(np.uint16)
        Image.fromarray(along).save(file)
    status, said = run(export, *TOLD, "--out", tmp_path / "ray")
    assert status == 1 and said.endswith(": give --depth-form ray"), said
    assert run(export, *TOLD, "--depth-form", "ray", "--out", tmp_path / "ray")[0] == 0
    axis, ray = (Rgbd(tmp_path, "test").read(name).frames for name in ("axis", "ray"))
    for one, other in zip(axis, ray, strict=True):
        off = other.read_depth() / one.read_depth() - 1  # the nearest pixel is taken, whose ray is beside
        assert np.abs(off).max() < 0.02 and abs(off.mean()) < 0.0005
