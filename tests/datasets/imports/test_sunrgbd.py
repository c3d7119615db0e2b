"""Images of SUN RGB-D, imported and read again.

What people report of them: the bits of depth are rotated (laughtervv/DepthAwareCNN, issue 34;
shurans/sscnet, issue 17); which of depth and depth_bfx to take (TUI-NICR/ESANet, issue 11); how the tilt is
used (facebookresearch/votenet, issues 96 and 133; GAP-LAB-CUHK-SZ/Total3DUnderstanding, issue 41).
"""

import shutil

import numpy as np
import pytest
from PIL import Image

from anyscene.datasets.imports.sunrgbd import unrotated
from anyscene.errors import DataError
from tests.builders.importing import imported, read
from tests.builders.layouts import write_sunrgbd
from tests.builders.wall import check_on_wall, rolled, views


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "NYU0001"


@pytest.fixture
def world(folder):
    """Write an image; what takes the true world to that of the image."""
    return write_sunrgbd(folder, views([rolled(yaw=-20.0)])[0])


def test_it_is_level_in_millimetres(folder, world, tmp_path):
    _, (frame,) = imported(folder, tmp_path / "out")
    assert frame.id == "0000001" and frame.camera.pose[:3, 3].tolist() == [0, 0, 0]
    check_on_wall(frame, world=world)


def test_a_camera_that_looks_down_and_is_rolled(folder, tmp_path):
    view = views([rolled(yaw=10.0)])[0]
    a, b = np.radians(20), np.radians(8)
    pitch = np.array([[1, 0, 0], [0, np.cos(a), np.sin(a)], [0, -np.sin(a), np.cos(a)]])
    roll = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    view.pose[:3, :3] = view.pose[:3, :3] @ pitch @ roll
    world = write_sunrgbd(folder, views([view.pose])[0])
    _, (frame,) = imported(folder, tmp_path / "out")
    check_on_wall(frame, world=world)


def test_bits_are_rotated_back(tmp_path):
    # 1, 1000 = 0b1111101000, 7999 mm; 8000 and above is cut off there
    millimetres = np.array([[0, 1, 1000, 7999, 8000, 65535]], np.uint16)
    Image.fromarray((millimetres << 3) | (millimetres >> 13)).save(tmp_path / "depth.png")
    assert unrotated(tmp_path / "depth.png").tolist() == [[0, 1, 1000, 7999, 0, 0]]
    for mode, shape in (("L", r"4, 4"), ("RGB", r"4, 4, 3")):
        Image.new(mode, (4, 4)).save(tmp_path / "picture.png")
        with pytest.raises(ValueError, match=rf"uint8\[{shape}\], not 16 bits"):
            unrotated(tmp_path / "picture.png")


def test_depth_that_was_filled_in_is_taken_where_the_measured_one_is_missing(folder, world, tmp_path):
    shutil.rmtree(folder / "depth")
    _, (frame,) = imported(folder, tmp_path / "out")
    check_on_wall(frame, world=world)


def test_the_last_tilt_counts(folder, world, tmp_path):
    np.savetxt(folder / "extrinsics" / "20130101000000.txt", np.eye(4)[:3])
    _, (frame,) = imported(folder, tmp_path / "out")
    check_on_wall(frame, world=world)


def test_what_is_missing_or_said_already(folder, world):
    for given in ({"scale": 1.0}, {"depth_unit": 0.001}, {"up": "images"}):
        with pytest.raises(DataError, match=r"leave out --.*: SUN RGB-D has metres"):
            read(folder, **given)
    (folder / "extrinsics" / "20140808220511.txt").write_text("1 0 0 0\n")
    with pytest.raises(DataError, match=r"20140808220511\.txt: 1 lines, not 3; download it again"):
        read(folder)
    (folder / "extrinsics" / "20140808220511.txt").unlink()
    with pytest.raises(DataError, match="extrinsics: no file; download it again"):
        read(folder)
    shutil.copy(folder / "image" / "0000001.jpg", folder / "image" / "2.jpg")
    with pytest.raises(DataError, match=r"image: 2 \.jpg files, not one; give the folder of an image"):
        read(folder)
