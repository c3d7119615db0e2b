"""Raw exports of Polycam, imported and read again.

What people report of them: no corrected images (PolyCam/polyform, issue 12), or of a part
(cdcseacave/openMVS, issue 1071); corrected cameras without a size (nerfstudio-project/nerfstudio, pull
request 3725), cameras without a time (rerun-io/examples-monorepo, pull request 243); archives that begin with
keyframes/ (nerfstudio, pull request 3294) or have a __MACOSX/ (pablovela5620/simplecv, issue 2); poses taken
for OpenCV's where the frames were written as a scan (OpenMask3D/openmask3d, issue 16: see
test_contradictions).
"""

import json
import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image

from anyscene.datasets import imports
from anyscene.datasets.imports import ExportOptions
from anyscene.errors import DataError
from anyscene.scene import LeftOut
from tests.builders.importing import imported, read
from tests.builders.polycam import write_export
from tests.builders.wall import HEIGHT, WIDTH, check_on_wall, rolled, views

POSES = (rolled(), rolled(yaw=-20.0), rolled(yaw=5.0))


def test_depth_and_colour_agree_as_rendered(tmp_path):
    ids = write_export(tmp_path / "in", views(POSES, depth_size=(48, 32)))
    summary, frames = imported(tmp_path / "in", tmp_path / "out")
    assert (summary.frames, summary.depth, summary.turned, summary.remarks) == (3, 3, 0, ())
    assert [frame.id for frame in frames] == ids
    for frame in frames:
        check_on_wall(frame, place=0.02)  # the reader resizes cameras corner to corner


def test_held_upright_images_lie_on_their_side_and_are_turned(tmp_path):
    write_export(tmp_path / "in", views([rolled(1), rolled(1, yaw=-20.0), rolled(3, yaw=5.0), rolled()]))
    summary, frames = imported(tmp_path / "in", tmp_path / "out")
    assert summary.turned == 3 and summary.sizes == ((HEIGHT, WIDTH), (WIDTH, HEIGHT))
    for frame in frames:
        check_on_wall(frame, depth=0.02)
        rgb = frame.read_color().astype(int)
        assert rgb[0, :, 2].mean() > rgb[-1, :, 2].mean() + 20  # blue grows upwards
        assert rgb[:, -1, 0].mean() > rgb[:, 0, 0].mean() + 20  # red to the right


def test_without_correction_the_device_is_taken_at_its_word(tmp_path):
    write_export(tmp_path / "in", views(POSES), corrected=False)
    summary, frames = imported(tmp_path / "in", tmp_path / "out")
    for frame in frames:
        check_on_wall(frame)
    assert "has no corrected_images: poses are not optimised" in str(summary)


def remove(file, *keys):
    """Take keys out of a JSON file that has them."""
    content = json.loads(file.read_text())
    for key in keys:
        del content[key]
    file.write_text(json.dumps(content))


def test_corrected_cameras_without_a_size(tmp_path):
    """As Polycam writes them now (nerfstudio-project/nerfstudio, pull request 3725)."""
    ids = write_export(tmp_path / "in", views(POSES))
    for id in ids:
        remove(tmp_path / "in" / "keyframes" / "corrected_cameras" / f"{id}.json", "width", "height")
    summary, frames = imported(tmp_path / "in", tmp_path / "out")
    assert summary.left_out == () and summary.remarks == ()
    for frame in frames:
        check_on_wall(frame)


def test_keyframes_that_were_not_corrected_are_left_out(tmp_path):
    """Of a session of which a part was (cdcseacave/openMVS, issue 1071); of none, as the device has it."""
    ids = write_export(tmp_path / "in", views(POSES))
    for id in ids[1:]:
        (tmp_path / "in" / "keyframes" / "corrected_cameras" / f"{id}.json").unlink()
    summary, frames = imported(tmp_path / "in", tmp_path / "out")
    assert summary.left_out == tuple(LeftOut(id, "no pose") for id in ids[1:])
    check_on_wall(frames[0])
    (tmp_path / "in" / "keyframes" / "corrected_cameras" / f"{ids[0]}.json").unlink()
    assert len(read(tmp_path / "in").frames) == 3


def test_an_archive_is_read_in_place(tmp_path):
    write_export(tmp_path / "Mar4" / "Mar4at2-46PM-poly", views(POSES))
    archive = shutil.make_archive(str(tmp_path / "Mar4at2-46PM"), "zip", tmp_path / "Mar4")
    _, frames = imported(tmp_path / archive, tmp_path / "out")
    for frame in frames:
        check_on_wall(frame)


@pytest.mark.parametrize("top", ["", "Mar4at2-46PM-poly/"])
def test_an_archive_that_a_mac_packed(tmp_path, top):
    write_export(tmp_path / "in", views(POSES))
    with zipfile.ZipFile(tmp_path / "room.zip", "w") as archive:
        for file in sorted((tmp_path / "in").rglob("*")):
            if file.is_file():
                name = file.relative_to(tmp_path / "in")
                archive.write(file, f"{top}{name}")
                beside = name.with_name(f"._{name.name}")
                archive.writestr(f"__MACOSX/{top}{beside}", b"\0\5\x16\7\0\2\0\0Mac OS X")
    summary, frames = imported(tmp_path / "room.zip", tmp_path / "out")
    assert (len(frames), summary.left_out) == (3, ())
    for frame in frames:
        check_on_wall(frame)


def test_cameras_without_a_time(tmp_path):
    """As Polycam writes them since 2026."""
    ids = write_export(tmp_path / "in", views(POSES), corrected=False)
    for id in ids:
        remove(tmp_path / "in" / "keyframes" / "cameras" / f"{id}.json", "timestamp", "blur_score")
    _, frames = imported(tmp_path / "in", tmp_path / "out")
    assert [frame.id for frame in frames] == ids


@pytest.mark.parametrize(("least", "dropped"), [(0, 0), (1, 1), (2, 2)])
def test_depth_of_low_confidence_is_dropped(tmp_path, least, dropped):
    sure = np.full((HEIGHT, WIDTH), 255, np.uint8)
    sure[: HEIGHT // 2, : WIDTH // 2], sure[: HEIGHT // 2, WIDTH // 2 :] = 0, 127
    rendered = views(POSES)
    for view in rendered:
        view.depth[: HEIGHT // 2, : WIDTH // 2] = 3.0  # as a guess may be
    write_export(tmp_path / "in", rendered, confidence=[sure] * 3)
    _, frames = imported(tmp_path / "in", tmp_path / "out", confidence=least)
    depth = frames[0].read_depth()
    assert (depth == 0).mean() == pytest.approx(dropped / 4) and (depth[HEIGHT // 2 :] > 0).all()
    if least:
        for frame in (frames[0], frames[2]):
            check_on_wall(frame, drop=dropped / 4)


def test_keyframes_that_lack_a_file_are_left_out(tmp_path):
    ids = write_export(tmp_path / "in", views([*POSES, rolled(yaw=5.0)]))
    frames = tmp_path / "in" / "keyframes"
    (frames / "depth" / f"{ids[0]}.png").unlink()
    (frames / "corrected_images" / f"{ids[1]}.jpg").unlink()
    summary, found = imported(tmp_path / "in", tmp_path / "out")
    assert [frame.id for frame in found] == ids[2:]
    assert summary.left_out == (LeftOut(ids[0], "no depth"), LeftOut(ids[1], "no image"))
    assert f"left out 2 of 4 frames: 1 no depth ({ids[0]}); 1 no image ({ids[1]})" in str(summary)


def test_every_second_frame(tmp_path):
    ids = write_export(tmp_path / "in", views(POSES))
    capture = imports.read(tmp_path / "in", "polycam", ExportOptions(), every=2)
    assert [frame.id for frame in capture.frames] == ids[::2]


@pytest.mark.parametrize("given", [{"scale": 1.0}, {"depth_unit": 0.001}, {"up": "images"}])
def test_what_the_files_say_is_not_asked_for(tmp_path, given):
    write_export(tmp_path / "in", views(POSES))
    with pytest.raises(DataError, match=r"leave out --.*: Polycam measures metres and millimetres"):
        read(tmp_path / "in", **given)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"fx": None}, "camera lacks or garbles 'fx'"),
        ({"t_23": "far"}, "camera lacks or garbles could not convert"),
        ({"t_00": 3.0}, "camera pose is singular or not rigid"),
        ({"width": 64, "height": 96}, r"jpg: 96x64 pixels, the intrinsics are of 64x96"),
        ({"fy": -80.0}, "focal lengths must be positive"),
    ],
)
def test_bad_cameras(tmp_path, values, message):
    ids = write_export(tmp_path / "in", views(POSES[:2]))
    path = tmp_path / "in" / "keyframes" / "corrected_cameras" / f"{ids[1]}.json"
    content = json.loads(path.read_text()) | values
    path.write_text(json.dumps({name: value for name, value in content.items() if value is not None}))
    with pytest.raises(DataError, match=rf"{ids[1]}\.json: .*{message}"):
        read(tmp_path / "in")
    path.write_text("{")
    with pytest.raises(DataError, match=rf"{ids[1]}\.json: not readable"):
        read(tmp_path / "in")
    path.write_text("[]")
    with pytest.raises(DataError, match=rf"{ids[1]}\.json: not a JSON object; export it again"):
        read(tmp_path / "in")


def test_a_keyframe_of_a_damaged_camera_or_image_is_left_out(tmp_path):
    ids = write_export(tmp_path / "in", views([*POSES, rolled(), rolled(yaw=-5.0)]))
    frames = tmp_path / "in" / "keyframes"
    (frames / "corrected_cameras" / f"{ids[1]}.json").write_text("{")
    (frames / "corrected_images" / f"{ids[2]}.jpg").write_bytes(b"")
    summary, found = imported(tmp_path / "in", tmp_path / "out")
    assert [frame.why for frame in summary.left_out] == ["camera not readable", "image not readable"]
    assert [frame.id for frame in found] == [ids[0], *ids[3:]]


def test_bad_depth_and_confidence(tmp_path):
    ids = write_export(
        tmp_path / "in", views(POSES), confidence=[np.full((HEIGHT, WIDTH), 255, np.uint8)] * 3
    )
    confidence = tmp_path / "in" / "keyframes" / "confidence" / f"{ids[1]}.png"
    Image.new("L", (48, 32)).save(confidence)
    assert imported(tmp_path / "in", tmp_path / "a")[0].left_out == (LeftOut(ids[1], "depth not readable"),)
    for name in (ids[0], ids[2]):
        Image.new("L", (48, 32)).save(confidence.with_name(f"{name}.png"))
    with pytest.raises(DataError, match=r"png: not a readable depth map \(its confidence is uint8\[32, 48\]"):
        imported(tmp_path / "in", tmp_path / "out")
    for name in ids:
        confidence.with_name(f"{name}.png").unlink()
        depth = tmp_path / "in" / "keyframes" / "depth" / f"{name}.png"
        depth.write_bytes(depth.read_bytes()[:60])
    with pytest.raises(DataError, match=rf"{ids[0]}\.png: not a readable depth map .*as 3 of 3 frames"):
        imported(tmp_path / "in", tmp_path / "out")


def test_missing_folders(tmp_path):
    (tmp_path / "in" / "keyframes" / "images").mkdir(parents=True)
    with pytest.raises(DataError, match="cameras: missing; export the raw data"):
        read(tmp_path / "in")
    (tmp_path / "in" / "keyframes" / "cameras").mkdir()
    with pytest.raises(DataError, match="no frame that can be taken"):
        read(tmp_path / "in")
    (tmp_path / "other.zip").write_bytes(b"PK nothing")
    with pytest.raises(DataError, match=r"other\.zip: not a readable archive"):
        read(tmp_path / "other.zip")
