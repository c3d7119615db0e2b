"""Clouds in text files as tools write them.

What people report of other readers: commas (isl-org/Open3D, issue 1379); .pts with and without a first line
that counts the points, with intensity or without (Open3D, issues 913 and 1384; daavoo/pyntcloud, issue 241);
CloudCompare's names of columns, with semicolons, a count after them, and floats for colours (PDAL/PDAL,
issue 1508).
"""

import numpy as np
import pytest

from anyscene.datasets.geometry import columns
from anyscene.errors import DataError

XYZ = np.array([[693000.125, 5337000.25, 520.5], [1, 2, 3], [4, 5, 6.5]])
RGB = np.array([[255, 0, 7], [1, 2, 3], [0, 0, 0]])
NORMAL = np.array([[0, 0, 1], [0.6, 0, -0.8], [0, -1, 0]])


def read(tmp_path, table, *, head="", separator=" ", name="room.xyz", form="%.17g"):
    with (tmp_path / name).open("w") as file:
        file.write(head)
        np.savetxt(file, table, delimiter=separator, fmt=form)
    return columns.read_text(tmp_path / name)


@pytest.mark.parametrize(
    ("parts", "name", "head"),
    [
        ((XYZ, RGB), "room.xyz", ""),
        ((XYZ, RGB), "room.txt", "//X Y Z R G B\n"),  # CloudCompare
        ((XYZ, RGB), "room.txt", "//X Y Z R G B\n3\n"),  # with the number of points
        ((XYZ, RGB / 255, RGB), "room.pts", "//X Y Z Rf Gf Bf Intensity curvature Nearness\n3\n"),
        ((XYZ, RGB), "room.txt", "# made by a tool\n# x y z red green blue\n"),
        ((XYZ, RGB, [[7], [8], [9]]), "room.txt", "X Y Z R G B label\n"),
        ((XYZ, [[-1200], [0], [2047]], RGB), "room.pts", "3\n"),  # Leica
        ((XYZ, [[0.3], [0.2], [0.1]], RGB), "room.pts", ""),  # ReCap: no count, intensity in 0..1
        ((XYZ, [[-1200], [0], [2047]], RGB), "room.txt", ""),
        ((XYZ, RGB / 255), "room.xyz", ""),
        ((XYZ, RGB, NORMAL), "room.xyz", ""),
        ((XYZ, NORMAL, RGB), "room.xyz", ""),
    ],
)
@pytest.mark.parametrize("separator", [" ", ",", ";", "\t"])
def test_columns_by_their_names_or_values(tmp_path, parts, name, head, separator):
    head = head.replace(" ", separator) if "X" in head else head
    found = read(tmp_path, np.column_stack(parts), head=head, separator=separator, name=name)
    assert np.array_equal(found.xyz, XYZ) and found.xyz.dtype == np.float64
    assert found.rgb.tolist() == RGB.tolist() and found.face.shape == (0, 3)
    assert (found.normal is not None) == any(part is NORMAL for part in parts)
    assert found.normal is None or np.allclose(found.normal, NORMAL)


def test_points_without_colours(tmp_path):
    for parts in ((XYZ,), (XYZ, [[3], [2], [1]]), (XYZ, NORMAL)):
        found = read(tmp_path, np.column_stack(parts))
        assert np.array_equal(found.xyz, XYZ) and found.rgb is None
    assert np.allclose(found.normal, NORMAL)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "no points in its first 100 lines"),
        ("hello\nworld\n", "no points in its first 100 lines"),
        ("1 2\n3 4\n", "no points; each line must begin with x, y, z"),
        ("1 2 3\n4 5\n", "not columns of numbers"),
        ("1 2 3\n4 five 6\n", "not columns of numbers"),
        (
            "0 0 0 300 2 1\n0 0 1 -3 2 1\n",
            "what its 6 columns are is not clear .*name them in the first line",
        ),
        ("0 0 0 5 9 2 1\n0 0 1 6 9 2 1\n", "what its 7 columns are is not clear"),
        ("0 0 0 0 0\n0 0 1 1 1\n", "what its 5 columns are is not clear"),
        ("x y z r g b\n0 0 0 1\n", "names 6 columns and has 4"),
        ("x y z r g b\n0 0 0 1 -2 3\n", "colours from -2"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, wrong):
    (tmp_path / "room.xyz").write_text(text)
    with pytest.raises(DataError, match=rf"room\.xyz: .*{wrong}"):
        columns.read_text(tmp_path / "room.xyz")


def test_a_text_in_another_encoding_is_named(tmp_path):
    (tmp_path / "room.xyz").write_bytes(b"# caf\xe9\n0 0 0\n1 2 3\n")
    with pytest.raises(DataError, match=r"room\.xyz: not a readable text \(.*\); export it again"):
        columns.read_text(tmp_path / "room.xyz")


def test_a_mark_of_the_encoding_is_no_number(tmp_path):
    (tmp_path / "room.xyz").write_bytes(b"\xef\xbb\xbf0 0 0\r\n1 2 3\r\n")
    assert columns.read_text(tmp_path / "room.xyz").xyz.tolist() == [[0, 0, 0], [1, 2, 3]]


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.int32])
def test_an_array_of_places_and_colours(tmp_path, kind):
    np.save(tmp_path / "room.npy", np.array([[0, 1, 2, 255, 0, 7], [3, 4, 5, 1, 2, 3]], kind))
    found = columns.read_array(tmp_path / "room.npy")
    assert found.xyz.tolist() == [[0, 1, 2], [3, 4, 5]] and found.rgb.tolist() == [[255, 0, 7], [1, 2, 3]]


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((4, 3)), r"expected numbers \[N, 6\], .*not float64\[4, 3\]"),
        (np.zeros((4, 7)), r"expected numbers \[N, 6\], .*not float64\[4, 7\]"),
        (np.zeros(6), r"expected numbers \[N, 6\], .*not float64\[6\]"),
        (np.zeros((4, 6), bool), r"expected numbers \[N, 6\], .*not bool\[4, 6\]"),
        (np.full((4, 6), 256.0), "columns 3 to 5 must be colours, whole numbers"),
        (np.full((4, 6), -1.0), "columns 3 to 5 must be colours, whole numbers"),
        (np.full((4, 6), 1.5), "columns 3 to 5 must be colours, whole numbers"),
        (np.full((4, 6), 1.0), "columns 3 to 5 must be colours, whole numbers"),  # in 0..1, as it seems
    ],
)
def test_an_array_of_something_else_is_refused(tmp_path, array, said):
    np.save(tmp_path / "room.npy", array)
    with pytest.raises(DataError, match=rf"room\.npy: {said}"):
        columns.read_array(tmp_path / "room.npy")
