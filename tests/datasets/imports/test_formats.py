"""What wrote an export, by its files, and what is said where that is not clear."""

import shutil

import numpy as np
import pytest

from anyscene.datasets.imports import formats
from anyscene.errors import DataError
from tests.builders.capture import write_scan
from tests.builders.colmap import UNIT, arbitrary, up_of, write_workspace
from tests.builders.importing import read
from tests.builders.layouts import (
    write_arkitscenes,
    write_frames,
    write_nerfstudio,
    write_open3d,
    write_replica,
    write_tum,
)
from tests.builders.polycam import write_export
from tests.builders.wall import rolled, views

pytestmark = pytest.mark.integration

POSES = (rolled(), rolled(yaw=-20.0), rolled(yaw=5.0))
MARK = b"\xef\xbb\xbf"  # of UTF-8, as Windows writes it


@pytest.mark.parametrize("below", ["room", "outer/room"])
def test_a_folder_that_holds_an_export_names_it(tmp_path, below):
    """As of an archive that was unpacked into a folder of its name."""
    write_frames(tmp_path / "my capture" / below, views(POSES))
    with pytest.raises(DataError, match=rf"my capture: neither .* but it holds such: give \S* ?\S*/{below}$"):
        formats.recognised(tmp_path / "my capture")


def test_a_folder_of_several_scans_and_exports_names_three(tmp_path):
    for name in ("a", "b"):
        write_frames(tmp_path / name, views(POSES))
    write_scan(tmp_path, "hall", annotated=False)
    write_scan(tmp_path, "kitchen", annotated=False)
    (tmp_path / ".hidden").mkdir()
    with pytest.raises(DataError, match=r"give \S*/a or \S*/b or \S*/hall, \.\.\.$"):
        formats.recognised(tmp_path)


def test_a_folder_without_any_says_what_is_known(tmp_path):
    (tmp_path / "one" / "two").mkdir(parents=True)
    with pytest.raises(DataError, match=r"known by lowres_wide\.traj \(arkitscenes\), "):
        formats.recognised(tmp_path)


def test_other_archives_are_to_be_unpacked(tmp_path):
    write_frames(tmp_path / "room", views(POSES))
    archive = shutil.make_archive(str(tmp_path / "room"), "gztar", tmp_path, "room")
    with pytest.raises(
        DataError, match=r"room\.tar\.gz: not a readable archive .* unpack it and give the folder"
    ):
        read(tmp_path / archive)


@pytest.mark.parametrize("folder", [True, False])
def test_an_archive_in_an_archive_or_a_folder_is_to_be_unpacked(tmp_path, folder):
    inner = tmp_path / "outer" / "chess" / "seq-01.zip"
    inner.parent.mkdir(parents=True)
    inner.write_bytes(b"PK")
    given = tmp_path / "outer"
    if not folder:
        shutil.make_archive(str(given), "zip", given)
        given = tmp_path / "outer.zip"
    with pytest.raises(DataError, match=r"it holds chess/seq-01\.zip: unpack chess/seq-01\.zip, and give"):
        formats.recognised(given)


def test_a_file_of_another_form_is_told_what_is_read(tmp_path):
    (tmp_path / "room.pcd").write_text("# .PCD v0.7\n")
    with pytest.raises(DataError, match=r"room\.pcd: of no form that is read here; .* as \.ply .*\.laz"):
        read(tmp_path / "room.pcd")


def test_two_forms_in_one_folder_are_asked_about(tmp_path):
    write_frames(tmp_path / "room", views(POSES))
    write_tum(tmp_path / "room", views(POSES))
    with pytest.raises(DataError, match=r"room: may be of frames or of tum; say which, by --from"):
        formats.recognised(tmp_path / "room")


def write_colmap(folder, rendered):
    write_workspace(folder, rendered, arbitrary(), binary=False)


OF_COLMAP = {"scale": UNIT, "up": np.array([float(value) for value in up_of(arbitrary()).split(",")])}


@pytest.mark.parametrize(
    ("write", "given"),
    [
        (write_frames, {"up": np.array([0.0, 0, 1])}),
        (write_tum, {}),
        (write_replica, {}),
        (write_arkitscenes, {}),
        (write_export, {}),
        (write_nerfstudio, {"scale": 1.0, "depth_unit": 0.001}),
        (write_colmap, OF_COLMAP),
    ],
)
@pytest.mark.parametrize("place", ["room", "Mein Büro #2 (neu) [1]"])
def test_text_that_windows_saved(tmp_path, write, given, place):
    """With a mark before it, and other line ends; also below a path with blanks and umlauts."""
    write(tmp_path / place / "room", views(POSES))
    right = read(tmp_path / place / "room", **given)
    for file in (tmp_path / place).rglob("*"):
        if file.suffix in (".txt", ".json", ".traj", ".pincam"):
            file.write_bytes(MARK + file.read_bytes().replace(b"\n", b"\r\n"))
    found = read(tmp_path / place / "room", **given)
    assert found.left_out == right.left_out == () and len(found.frames) == 3
    for one, other in zip(found.frames, right.frames, strict=True):
        assert one.id == other.id and np.array_equal(one.camera.pose, other.camera.pose)
        assert np.array_equal(one.camera.intrinsics, other.camera.intrinsics)


@pytest.mark.parametrize("write", [write_frames, write_open3d, write_arkitscenes, write_replica])
def test_endings_in_capitals(tmp_path, write):
    write(tmp_path / "room", views(POSES))
    given = {} if write in (write_arkitscenes, write_replica) else {"up": np.array([0.0, 0, 1])}
    right = read(tmp_path / "room", **given)
    for file in list((tmp_path / "room").rglob("*")):
        if file.suffix in (".png", ".jpg", ".pincam"):
            file.rename(file.with_suffix(file.suffix.upper()))
    found = read(tmp_path / "room", **given)
    assert [frame.id for frame in found.frames] == [frame.id for frame in right.frames]
    assert all(frame.depth.source.suffix == ".PNG" for frame in found.frames) and len(found.frames) == 3
