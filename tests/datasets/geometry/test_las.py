"""LAS and LAZ files, written by the library that reads them.

What people report of other readers: colours of 8 bits in fields of 16 become black (laspy/laspy, issue 221;
mfbonfigli/gocesiumtiler, issue 17); a header that counts more points than there are (laspy, issue 212); an
empty file (laspy, issue 161); many extra bytes (qgis/QGIS, issue 62496); points that are marked as withheld
are taken for others (ASPRSorg/LAS, issue 90).
"""

import struct

import numpy as np
import pytest

from anyscene.datasets.geometry import formats, las
from anyscene.errors import DataError

laspy = pytest.importorskip("laspy")
pytest.importorskip("lazrs")
VLR = laspy.VLR
VLRList = laspy.vlrs.vlrlist.VLRList

XYZ = np.array([[693000.123, 5337000.456, 520.789], [693001, 5337002, 521], [693004, 5337000, 522.5]])
RGB = np.array([[255, 0, 7], [1, 2, 3], [200, 100, 0]])


def write_las(path, *, form=3, version="1.2", scale=256, rgb=RGB):
    header = laspy.LasHeader(point_format=form, version=version)
    header.offsets, header.scales = XYZ.min(0), [0.001] * 3
    data = laspy.LasData(header)
    data.x, data.y, data.z = XYZ.T
    if "red" in data.point_format.dimension_names:
        data.red, data.green, data.blue = (rgb * scale).astype(np.uint16).T
    data.write(str(path))
    return path


@pytest.mark.parametrize("ending", [".las", ".laz", ".LAS"])
@pytest.mark.parametrize(("form", "version"), [(2, "1.2"), (3, "1.2"), (7, "1.4")])
@pytest.mark.parametrize("scale", [1, 256, 257])  # bytes that were not scaled, and both ways to do it
def test_las(tmp_path, ending, form, version, scale):
    found = formats.read(write_las(tmp_path / f"room{ending}", form=form, version=version, scale=scale))
    assert np.abs(found.xyz - XYZ).max() < 0.00051 and found.rgb.tolist() == RGB.tolist()
    assert len(found.face) == 0 and found.normal is None


def test_las_with_extra_bytes(tmp_path):
    path = write_las(tmp_path / "room.laz", form=7, version="1.4")
    data = laspy.read(path)
    kinds = [*(["f4"] * 5), "u1", "u1", "u2"]  # 24 bytes
    data.add_extra_dims([laspy.ExtraBytesParams(f"own {k}", kind) for k, kind in enumerate(kinds)])
    data.write(path)
    assert las.read(path).rgb.tolist() == RGB.tolist() and np.abs(las.read(path).xyz - XYZ).max() < 0.00051


def test_a_file_that_counts_more_points_than_it_has(tmp_path):
    path = write_las(tmp_path / "room.las")
    content = bytearray(path.read_bytes())
    content[107:111] = struct.pack("<I", 5)  # few enough for the bytes that are there
    path.write_bytes(content)
    wanted = r"room\.las: not a readable LAS file \(3 points, and its header counts 5\); export it again"
    with pytest.raises(DataError, match=wanted):
        las.read(path)


@pytest.mark.parametrize("form", [3, 7])
def test_points_that_are_withheld_are_left_out(tmp_path, form):
    path = write_las(tmp_path / "room.las", form=form, version="1.4" if form > 5 else "1.2")
    data = laspy.read(path)
    data.withheld = [0, 1, 0]
    data.write(path)
    found = las.read(path)
    assert np.abs(found.xyz - XYZ[[0, 2]]).max() < 0.00051 and found.rgb.tolist() == RGB[[0, 2]].tolist()


@pytest.mark.parametrize("ending", [".las", ".laz"])
def test_a_header_that_counts_more_points_than_there_are(tmp_path, ending):
    path = write_las(tmp_path / f"room{ending}")
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, 107, 14)  # the number of points in LAS 1.2
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"room\{ending}: not a readable LAS file"):
        las.read(path)


@pytest.mark.parametrize("count", [0, 2])
def test_a_header_that_counts_fewer_points_than_there_are(tmp_path, count):
    path = write_las(tmp_path / "room.las")
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, 107, count)
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"its header counts {count} points, and there are bytes of 3"):
        las.read(path)


def test_what_stands_behind_the_points_is_none(tmp_path):
    path = write_las(tmp_path / "room.las", form=7, version="1.4")
    data = laspy.read(path)
    data.evlrs = VLRList([VLR("somebody", 7, "of their own", bytes(1000))])
    data.write(path)
    assert laspy.read(path).header.number_of_evlrs == 1 and len(las.read(path).xyz) == 3
    older = write_las(tmp_path / "older.las")
    older.write_bytes(older.read_bytes() + bytes(33))  # a point of this form has 34
    assert len(las.read(older).xyz) == 3


def test_memory_is_not_taken_for_points_that_no_file_holds(tmp_path):
    path = write_las(tmp_path / "room.las")
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, 107, 4_000_000_000)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"says that it holds 4,000,000,000 points, and has [\d,]+ bytes"):
        las.read(path)


@pytest.mark.parametrize(("place", "version"), [(100, "1.2"), (243, "1.4")])
@pytest.mark.parametrize("ending", [".las", ".laz"])
def test_records_that_no_file_holds(tmp_path, ending, place, version):
    """The library would read on for minutes."""
    form = 7 if version == "1.4" else 3
    path = write_las(tmp_path / f"room{ending}", form=form, version=version)
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, place, 4_000_000_000)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"says that it holds 4,000,000,000 records, and has [\d,]+ bytes"):
        las.read(path)


def test_las_without_colours(tmp_path):
    assert las.read(write_las(tmp_path / "room.las", form=1)).rgb is None
    assert las.read(write_las(tmp_path / "room.las", rgb=0 * RGB)).rgb is None


@pytest.mark.parametrize("name", ["room.las", "room.laz"])
@pytest.mark.parametrize("data", [b"", b"nothing", b"LASF" + bytes(300)])
def test_damage_is_named(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=name.replace(".", r"\.")):
        formats.read(tmp_path / name)


def test_a_laz_file_that_is_cut(tmp_path):
    path = write_las(tmp_path / "room.laz")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"room\.laz: not a readable LAS file"):
        las.read(path)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (0, struct.pack("<q", -7), "points to its byte -3"),
        (0, struct.pack("<q", 1 << 40), "cut short before its byte"),
        (0, struct.pack("<q", -1), "(points to|cut short before|says that it)"),  # the last bytes say where
        (
            None,
            struct.pack("<I", 4_000_000_000),
            r"holds 4,000,000,000 chunks of points, and has [\d,]+ bytes",
        ),
    ],
)
def test_memory_is_not_taken_for_chunks_that_no_file_holds(tmp_path, place, value, message):
    """The library that unpacks would end this process."""
    path = write_las(tmp_path / "room.laz")
    content = bytearray(path.read_bytes())
    (points,) = struct.unpack_from("<I", content, 96)
    (table,) = struct.unpack_from("<q", content, points)
    at = points if place == 0 else table + 4
    content[at : at + len(value)] = value
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"room\.laz: not a readable LAS file \(.*{message}"):
        las.read(path)
