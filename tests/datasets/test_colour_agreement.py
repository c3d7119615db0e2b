"""Images that show other colours than they should: named by what makes them right."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from anyscene.datasets import contradictions, imports
from anyscene.datasets.agreement import sample
from anyscene.datasets.colour_agreement import of_images, painted
from anyscene.datasets.contradictions import Findings, Judge
from anyscene.datasets.imports import ExportOptions
from anyscene.datasets.readings import Reading
from anyscene.datasets.rgbd import Rgbd
from anyscene.errors import DataError
from tests.builders import box_room
from tests.builders.box_room import OPENGL, posed
from tests.builders.capture import write_ply

pytestmark = pytest.mark.integration


def judge(refuse=True, now=None) -> Judge:
    return Judge("room", now or Reading(), lambda changed: f"say {sorted(changed.items())}", refuse)


def seen(measured, refuse=True) -> Findings:
    return judge(refuse).images(sample(measured), measured, Findings())


def imaged(measured, change):
    """The frames with other images: change(rgb) of each."""
    return [replace(one, rgb=np.ascontiguousarray(change(one.rgb))) for one in measured]


def shifted(measured, by):
    """The frames, each with the image of that so many later."""
    return [replace(one, rgb=measured[(k + by) % len(measured)].rgb) for k, one in enumerate(measured)]


# ---------------------------------------------------------------------------------- images, with depth


def test_a_right_room_agrees_on_colours():
    findings = seen(box_room.frames())
    assert findings.colours > 0.9 and not findings.warning
    assert findings.record() == {"colours": round(findings.colours, 4)}
    assert str(findings) == f"colours: correlation {findings.colours:.2f}"


def test_exposure_of_each_image_changes_nothing():
    gain = iter(np.linspace(0.4, 1, 12))
    darker = imaged(box_room.frames(), lambda rgb: np.rint(next(gain) * rgb).astype(np.uint8))
    assert seen(darker).colours > 0.9


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rgb: rgb[:, ::-1], "mirrored"),
        (lambda rgb: rgb[::-1], "upside down"),
        (lambda rgb: rgb[::-1, ::-1], "turned by 180 degrees"),
    ],
)
def test_images_that_are_turned_over_are_refused_and_named(change, said):
    with pytest.raises(
        DataError, match=rf"^room: its images show other colours .*with images that are {said} they do"
    ):
        seen(imaged(box_room.frames(), change))
    assert seen(imaged(box_room.frames(), change), refuse=False).warning


@pytest.mark.parametrize(
    ("by", "said"),
    [
        (-1, "those of 1 frame later"),
        (1, "those of 1 frame before"),
        (3, "those of 3 frames before"),
        (-3, "those of 3 frames later"),
    ],
)
def test_images_of_other_frames_are_refused_and_named(by, said):
    with pytest.raises(DataError, match=rf"with images that are {said} they do not"):
        seen(shifted(box_room.walk(60), by))


def test_images_that_are_a_little_off_are_warned_of():
    """As of a camera on a circle: a turn of the room takes them almost to the right ones."""
    findings = seen(shifted(box_room.frames(30), 1))
    assert findings.colours > 0.6 and "would better if they were those of 1 frame before" in findings.warning


def test_images_in_any_order_are_warned_of():
    order = iter(np.random.default_rng(0).permutation(12))
    measured = box_room.frames()
    findings = seen([replace(one, rgb=measured[next(order)].rgb) for one in measured])
    assert findings.colours < 0.5 and findings.warning.endswith("its depth map and pose, as it was taken?")


def test_what_has_no_colours_says_nothing():
    rng = np.random.default_rng(0)
    noise = imaged(box_room.frames(), lambda rgb: rng.integers(88, 93, rgb.shape).astype(np.uint8))
    assert seen(noise) == Findings() == judge().images(None, [], Findings())


def test_a_camera_that_stood_still_says_nothing():
    still = [
        replace(one, id=str(k)) for k, one in enumerate(box_room.frames_at([box_room.pose_of(0, 12)] * 6))
    ]
    assert seen(imaged(still, lambda rgb: rgb[:, ::-1])) == Findings()


def test_an_image_that_cannot_be_read_says_nothing():
    broken = [replace(one, rgb=None) if k == 3 else one for k, one in enumerate(box_room.frames())]
    found = of_images(sample(broken), broken)
    assert found.value > 0.9
    assert of_images(sample(broken), [replace(one, rgb=None) for one in broken]) is None


def test_where_depth_is_doubtful_colours_are_not_asked():
    mirrored = imaged(box_room.frames(), lambda rgb: rgb[:, ::-1])
    doubt = Findings(warning="room: its depth maps contradict each other")
    assert judge().images(sample(mirrored), mirrored, doubt) == doubt


def test_mirrored_images_of_a_scan_are_refused_by_its_reader(tmp_path):
    box_room.write_scan(tmp_path / "room", image=lambda rgb: rgb)
    assert contradictions.read(Rgbd(tmp_path, "test"), "room")[1].record()["colours"] > 0.9
    box_room.write_scan(tmp_path / "wrong", image=lambda rgb: rgb[:, ::-1])
    with pytest.raises(DataError, match="with images that are mirrored they do not"):
        contradictions.read(Rgbd(tmp_path, "test"), "wrong")


def test_images_that_are_copied_out_of_order_are_refused_by_import(tmp_path):
    folder = box_room.write_transforms(tmp_path / "export")
    for k, frame in enumerate(box_room.frames()):
        Image.fromarray(frame.rgb).save(folder / "images" / f"{k}.png")
    options = ExportOptions(scale=1.0, depth_unit=0.001)
    summary = imports.write(imports.read(folder, None, options), tmp_path / "right")
    assert "colours: correlation 1.00" in str(summary)
    for k, frame in enumerate(box_room.frames()):
        Image.fromarray(frame.rgb[:, ::-1]).save(folder / "images" / f"{k}.png")
    with pytest.raises(DataError, match="with images that are mirrored they do not"):
        imports.write(imports.read(folder, None, options), tmp_path / "wrong")


# --------------------------------------------------------------------------------- a mesh without depth


def without_depth(measured):
    return [replace(one, depth=None) for one in measured]


def shown(measured, xyz, coloured=True, face=np.zeros((0, 3), np.int32), refuse=True, now=None) -> Findings:
    """What is said of points, whose colours are those of the places where they belong, and frames without
    depth."""
    rgb = box_room.colours_at(box_room.surface(0.04)) if coloured else None
    return judge(refuse, now).painted(painted(xyz, face, rgb, without_depth(measured)), Findings())


def scaled(factor):
    def change(pose):
        pose = pose.copy()
        pose[:3, 3] *= factor
        return pose

    return change


@pytest.mark.parametrize("coloured", [True, False])
def test_a_mesh_that_images_show_passes(coloured):
    findings = shown(box_room.frames(), box_room.surface(0.04), coloured)
    assert findings.colours > 0.7 and not findings.warning


WRONG = {  # what is wrong -> (frames, points, what the message names)
    "OpenGL": (lambda f: posed(f, lambda p: p @ OPENGL), lambda x: x, r"OpenGL they do .*'axes', 'opengl'"),
    "inverse": (
        lambda f: posed(f, np.linalg.inv),
        lambda x: x,
        r"world to camera they do .*'world-to-camera'",
    ),
    "poses x 10": (lambda f: posed(f, scaled(10)), lambda x: x, "multiply the positions in the poses by 0.1"),
    "a mesh in mm": (lambda f: f, lambda x: 1000 * x, "multiply the mesh by 0.001"),
    "a mesh in mm, its unit said": (
        lambda f: posed(f, scaled(0.001)),
        lambda x: x,
        "multiply the positions in the poses by 1000",
    ),
    "y up": (lambda f: f, lambda x: x[:, [0, 2, 1]] * [1, 1, -1], r"lies as \(x, -z, y\) they do"),
    "elsewhere": (lambda f: f, lambda x: x + [30, 0, 0], "0 of 12 see it.*in one world and one unit"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_mesh_that_images_do_not_show_is_refused_and_the_right_reading_named(wrong):
    frames, points, said = WRONG[wrong]
    with pytest.raises(DataError, match=f"^room: its frames do not show its mesh .*{said}"):
        shown(frames(box_room.frames()), points(box_room.surface(0.04)))
    assert shown(frames(box_room.frames()), points(box_room.surface(0.04)), refuse=False).warning


def test_a_mesh_that_is_a_little_off_is_warned_of():
    findings = shown(box_room.frames(), box_room.surface(0.04) + [1.0, 0.4, 0])
    assert "export both in one world and one unit" in findings.warning


def test_without_frames_there_is_nothing_to_say():
    assert painted(box_room.surface(), np.zeros((0, 3), np.int32), None, []) is None
    assert judge().painted(None, Findings()) == Findings()


def test_a_grey_mesh_is_told_by_what_the_images_agree_on():
    """Its own colours would say that no image shows it."""
    grey = imaged(box_room.frames(), lambda rgb: np.full_like(rgb, 90))
    assert not shown(grey, box_room.surface(0.04), coloured=False).warning
    with pytest.raises(DataError, match="0 of 12 see it"):
        shown(grey, box_room.surface(0.04) + [30, 0, 0], coloured=False)


@pytest.mark.parametrize("colours", [True, False])
def test_a_mesh_of_another_world_is_refused_by_the_reader_of_a_scan(tmp_path, colours):
    folder = box_room.write_scan(tmp_path / "room", steps=None, image=lambda rgb: rgb)
    xyz = box_room.surface(0.04)
    write(folder / "mesh.ply", xyz, colours)
    assert contradictions.read(Rgbd(tmp_path, "test"), "room")[1].colours > 0.7
    for path in sorted((folder / "pose").iterdir()):
        np.savetxt(path, np.loadtxt(path) @ OPENGL)
    with pytest.raises(DataError) as error:
        contradictions.read(Rgbd(tmp_path, "test"), "room")
    assert '{"axes": "opengl"}' in str(error.value)


def write(path, xyz, colours):
    """A cloud with the colours of the room, or without."""
    face = np.zeros((0, 3), np.int32)
    if colours:
        write_ply(path, xyz, box_room.colours_at(xyz), face)
    else:
        head = f"ply\nformat ascii 1.0\nelement vertex {len(xyz)}\n"
        lines = "".join(f"{x:.4f} {y:.4f} {z:.4f}\n" for x, y, z in xyz)
        path.write_text(f"{head}property float x\nproperty float y\nproperty float z\nend_header\n{lines}")
