"""Recordings of Record3D, imported and read again.

What people report of them: the export of folders of colour and depth is not taken (NVlabs/instant-ngp, issue
1190; what is in it: marek-simonik/record3d, issues 53, 67 and 121); the intrinsics are those of colour, and
the size of depth is in the metadata (record3d, issues 76 and 94); poses have OpenGL's axes (record3d, issue
107); walls slide away where depth has a low confidence (concept-graphs/concept-graphs, issue 54); all poses
are 0 (sxyu/svox2, issue 75).
"""

import shutil
import sys
import zipfile

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from anyscene.datasets import imports
from anyscene.errors import DataError
from anyscene.scene import LeftOut
from tests.builders import importing
from tests.builders.record3d import write_exr, write_sequence, write_video
from tests.builders.wall import HEIGHT, WIDTH, check_on_wall, rolled, views

lzfse = pytest.importorskip("lzfse")
POSES = (rolled(), rolled(yaw=-20.0), rolled(yaw=5.0))
Y = imports.direction("y")


def write(path, rendered, **options):
    return write_video(path, rendered, lzfse.compress, **options)


def read(path, up=Y, **given):
    return importing.read(path, up=up, **given)


def imported(path, out, world, **given):
    """(summary, frames that the reader finds, what the true world has become)."""
    capture = read(path, **given)
    became = capture.world @ world
    assert np.allclose(became[2, :3], [0, 0, 1], atol=1e-5)
    return *importing.written(capture, out), became


@pytest.mark.parametrize("each", [True, False])
def test_depth_and_colour_agree_as_rendered(tmp_path, each):
    world = write(tmp_path / "room.r3d", views(POSES, depth_size=(48, 32)), each=each)
    summary, frames, became = imported(tmp_path / "room.r3d", tmp_path / "out", world)
    assert (summary.frames, summary.depth, summary.turned) == (3, 3, 0)
    assert [frame.id for frame in frames] == ["00000", "00001", "00002"]
    for frame in frames:
        check_on_wall(frame, place=0.02, world=became)  # the reader resizes cameras corner to corner


def test_up_as_the_images_have_it_where_the_first_was_tilted(tmp_path):
    down = rolled()
    down[:3, :3] = down[:3, :3] @ Rotation.from_euler("x", -20, degrees=True).as_matrix()
    world = write(tmp_path / "room.r3d", views([down, *POSES[1:]]))
    _, frames, became = imported(tmp_path / "room.r3d", tmp_path / "out", world, up="images")
    for frame in frames[1:]:
        check_on_wall(frame, world=became)


def test_portrait_video_stays_portrait_and_landscape_of_old_versions_is_turned(tmp_path):
    world = write(tmp_path / "portrait.r3d", views(POSES, (44, 66)))
    summary, frames, became = imported(tmp_path / "portrait.r3d", tmp_path / "a", world)
    assert summary.turned == 0 and summary.sizes == ((44, 66),)
    for frame in frames:
        check_on_wall(frame, world=became)
    world = write(tmp_path / "lying.r3d", views([rolled(1), rolled(1, yaw=-20.0), rolled(1, yaw=0.0)]))
    summary, frames, became = imported(tmp_path / "lying.r3d", tmp_path / "b", world, up=world[:3, 2])
    assert summary.turned == 3 and summary.sizes == ((HEIGHT, WIDTH),)
    for frame in frames:
        check_on_wall(frame, depth=0.02, world=became)


def test_unpacked_and_without_the_size_of_depth(tmp_path):
    world = write(tmp_path / "room.r3d", views(POSES, depth_size=(48, 32)), dw=None, dh=None)
    shutil.unpack_archive(tmp_path / "room.r3d", tmp_path / "room", "zip")
    _, frames, became = imported(tmp_path / "room", tmp_path / "out", world)
    assert frames[0].read_depth().shape == (32, 48)
    for frame in frames:
        check_on_wall(frame, place=0.02, world=became)


def test_depth_of_low_confidence_is_dropped_and_nan_is_none(tmp_path):
    sure = np.full((HEIGHT, WIDTH), 2, np.uint8)
    sure[0], sure[1] = 0, 1
    rendered = views(POSES)
    for view in rendered:
        view.depth[0], view.depth[2] = 9.0, np.nan
    world = write(tmp_path / "room.r3d", rendered, confidence=[sure] * 3)
    for least, rows in ((0, [2]), (1, [0, 2]), (2, [0, 1, 2])):
        _, frames, _ = imported(tmp_path / "room.r3d", tmp_path / f"out{least}", world, confidence=least)
        assert np.flatnonzero((frames[0].read_depth() == 0).any(1)).tolist() == rows


def test_what_the_file_does_not_say_is_asked_for(tmp_path):
    write(tmp_path / "room.r3d", views(POSES))
    with pytest.raises(DataError, match=r"metadata: does not say what is up, .*give --up images"):
        read(tmp_path / "room.r3d", up=None)
    with pytest.raises(DataError, match="leave out --scale: Record3D measures metres"):
        read(tmp_path / "room.r3d", scale=1.0)
    with pytest.raises(DataError, match=r"up would be 1\.00,0\.00,0\.00, but the images are level about"):
        read(tmp_path / "room.r3d", up=imports.direction("x"))


def test_without_the_decoder_it_says_what_to_install(tmp_path, monkeypatch):
    write(tmp_path / "room.r3d", views(POSES))
    monkeypatch.setitem(sys.modules, "lzfse", None)
    with pytest.raises(DataError, match=r"room\.r3d.*LZFSE; pip install .* nerfstudio"):
        read(tmp_path / "room.r3d")


@pytest.mark.parametrize("pose", [[0, 0, 0, 1, 0, 0, 0], [0.0] * 7])
def test_videos_of_the_selfie_camera_have_no_poses(tmp_path, pose):
    write(tmp_path / "room.r3d", views(POSES), poses=[pose] * 3)
    with pytest.raises(DataError, match=r"metadata: all poses are the same, .* record by LiDAR"):
        read(tmp_path / "room.r3d")


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"K": None}, "metadata: lacks or garbles 'K'"),
        ({"K": [1, 2]}, "metadata: lacks or garbles cannot reshape"),
        ({"poses": [[0, 0, 0, 1]] * 3}, r"metadata: lacks or garbles poses of shape \[3, 4\]"),
        ({"poses": [[0, 0, 0, 0, 1, 2, 3]] * 2 + [[0, 0, 0, 0, 0, 0, 0]]}, "contains NaN .*as 3 of 3 frames"),
        ({"perFrameIntrinsicCoeffs": [[1, 2, 3, 4]]}, "metadata: lacks or garbles"),
        ({"w": HEIGHT, "h": WIDTH}, "frame 0: .*96x64 pixels, the intrinsics are of 64x96"),
    ],
)
def test_bad_metadata(tmp_path, metadata, message):
    write(tmp_path / "room.r3d", views(POSES), **metadata)
    with pytest.raises(DataError, match=message):
        read(tmp_path / "room.r3d")


@pytest.mark.parametrize(
    ("name", "why"),
    [("rgbd/2.jpg", "no image"), ("rgbd/1.depth", "no depth"), ("rgbd/0.depth", "no depth")],
)
def test_frames_whose_files_are_missing_are_left_out(tmp_path, name, why):
    """As of an export that was cut short."""
    world = write(tmp_path / "room.r3d", views(POSES), without=[name])
    summary, frames, became = imported(tmp_path / "room.r3d", tmp_path / "out", world)
    assert summary.left_out == (LeftOut(f"0000{name[5]}", why),) and len(frames) == 2
    for frame in frames:
        check_on_wall(frame, world=became)


def test_frames_where_tracking_was_lost_are_left_out(tmp_path):
    poses = [rolled(yaw=yaw) for yaw in (15.0, -20.0, 5.0, 0.0, 10.0)]
    world, lost = np.linalg.inv(poses[0]), [np.nan] * 7
    stored = [[*Rotation.from_matrix(one[:3, :3]).as_quat(), *one[:3, 3]] for one in world @ poses]
    stored[1], stored[3] = lost, [0.0] * 7
    write(tmp_path / "room.r3d", views(poses), poses=stored)
    summary, frames, became = imported(tmp_path / "room.r3d", tmp_path / "out", world)
    assert summary.left_out == (LeftOut("00001", "no pose"), LeftOut("00003", "no pose"))
    for frame in frames:
        check_on_wall(frame, world=became)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dw": 50}, "6144 numbers for 50x64"),
        ({"dw": None, "w": 96, "h": 65}, "6144 numbers, and the metadata lack dw and dh"),
        ({"confidence": [np.zeros((2, 2), np.uint8)] * 3}, "4 values of confidence for 96x64"),
    ],
)
def test_depth_of_another_size(tmp_path, options, message):
    write(tmp_path / "room.r3d", views(POSES), **options)
    with pytest.raises(DataError, match=message):
        imports.write(read(tmp_path / "room.r3d"), tmp_path / "out")


def test_depth_that_is_damaged(tmp_path):
    write_video(tmp_path / "room.r3d", views(POSES), lambda data: b"no lzfse")
    with pytest.raises(DataError, match=r"rgbd/0\.depth: not a readable .* is damaged, or not of LZFSE"):
        imports.write(read(tmp_path / "room.r3d"), tmp_path / "out")
    write(tmp_path / "other.r3d", views(POSES))
    data = bytearray((tmp_path / "other.r3d").read_bytes())
    with zipfile.ZipFile(tmp_path / "other.r3d") as archive:
        start = archive.getinfo("rgbd/1.depth").header_offset
    data[start + 60] ^= 0xFF
    (tmp_path / "other.r3d").write_bytes(data)
    summary = imports.write(read(tmp_path / "other.r3d"), tmp_path / "out")
    assert summary.left_out == (LeftOut("00001", "depth not readable"),)


@pytest.mark.parametrize("flag", [0x01, 0x40])  # encrypted with a password, and strongly
def test_a_frame_whose_depth_is_encrypted_is_left_out(tmp_path, flag):
    """A bit that flips in the table of a zip file says so of any part."""
    path = tmp_path / "room.r3d"
    write(path, views(POSES))
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("rgbd/1.depth").header_offset
    of_table = content.rindex(b"rgbd/1.depth") - 46  # the entry there
    for place in (start + 6, of_table + 8):
        content[place] |= flag
    path.write_bytes(content)
    summary = imports.write(read(path), tmp_path / "out")
    assert summary.left_out == (LeftOut("00001", "depth not readable"),)


# ------------------------------------------------------------------------------ the export EXR + JPG sequence


@pytest.fixture
def openexr():
    return pytest.importorskip("OpenEXR")


@pytest.mark.parametrize("png", [False, True])
@pytest.mark.parametrize("place", ["EXR_RGBD", "", "zip"])
def test_the_sequence_of_images(tmp_path, openexr, place, png):
    rendered = views(POSES, depth_size=(48, 32))
    rendered[0].depth[0] = np.nan
    folder = tmp_path / "2025-04-22--10-19-25" / ("EXR_RGBD" if place else "")
    world = write_sequence(folder, rendered, png=png, dw=None, dh=None)
    export = tmp_path / "2025-04-22--10-19-25"
    if place == "zip":
        export = shutil.make_archive(str(tmp_path / "video"), "zip", tmp_path, export.name)
        export = tmp_path / export
    summary, frames, became = imported(export, tmp_path / "out", world)
    assert (summary.frames, summary.depth, summary.left_out) == (3, 3, ())
    assert [frame.id for frame in frames] == ["00000", "00001", "00002"]
    assert (frames[0].read_depth()[0] == 0).all() and frames[0].read_depth().shape == (32, 48)
    for frame in frames[1:]:
        check_on_wall(frame, place=0.02, world=became)


def test_frames_of_the_sequence_that_lack_a_file_or_are_damaged_are_left_out(tmp_path, openexr):
    poses = [rolled(yaw=yaw) for yaw in (15.0, -20.0, 5.0, 0.0, 10.0, -5.0, 2.0)]
    world = write_sequence(tmp_path / "in", views(poses))
    (tmp_path / "in" / "rgb" / "0.jpg").unlink()
    (tmp_path / "in" / "depth" / "1.exr").unlink()
    path = tmp_path / "in" / "depth" / "2.exr"
    path.write_bytes(path.read_bytes()[:900])
    grey = {name: np.ones((HEIGHT, WIDTH), np.float32) for name in ("G", "B")}
    write_exr(tmp_path / "in" / "depth" / "3.exr", grey)
    summary, frames, became = imported(tmp_path / "in", tmp_path / "out", world)
    assert [(frame.id, frame.why) for frame in summary.left_out] == [
        ("00000", "no image"),
        ("00001", "no depth"),
        ("00002", "depth not readable"),
        ("00003", "depth not readable"),
    ]
    for frame in frames:
        check_on_wall(frame, world=became)


def test_what_is_wrong_with_the_sequence_is_named(tmp_path, openexr, monkeypatch):
    write_sequence(tmp_path / "in", views(POSES))
    with pytest.raises(DataError, match=r"metadata\.json: does not say what is up"):
        read(tmp_path / "in", up=None)
    for path in (tmp_path / "in" / "depth").iterdir():  # halves of millimetres, say
        write_exr(path, {"R": np.ones((HEIGHT, WIDTH), np.uint32)})
    with pytest.raises(DataError, match=r"depth/0\.exr: .*uint32, not metres"):
        imports.write(read(tmp_path / "in"), tmp_path / "out")
    for path in (tmp_path / "in" / "depth").iterdir():
        write_exr(path, {name: np.ones((HEIGHT, WIDTH), np.float32) for name in ("G", "B")})
    with pytest.raises(DataError, match=r"depth/0\.exr: .*its channels are \w, \w, without R"):
        imports.write(read(tmp_path / "in"), tmp_path / "out")
    for path in (tmp_path / "in" / "depth").iterdir():
        path.write_bytes(b"")
    wanted = r"depth/0\.exr: not a readable depth map \(0\.exr is damaged, or not of OpenEXR.*as 3 of 3"
    with pytest.raises(DataError, match=wanted):
        imports.write(read(tmp_path / "in"), tmp_path / "out")
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    with pytest.raises(DataError, match=r"in: its depth is compressed by OpenEXR; pip install OpenEXR"):
        read(tmp_path / "in")
    (tmp_path / "in" / "metadata.json").unlink()
    with pytest.raises(DataError, match=r"in/metadata\.json: missing; export it again"):
        read(tmp_path / "in")
