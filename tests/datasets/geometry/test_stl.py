"""STL files.

What people report of other readers: binary files whose header begins as text (sreiter/stl_reader, issue 3);
keywords in capitals, as DEFORM-3D writes them (wolph/numpy-stl, issue 154; slic3r/Slic3r, issue 2971);
several solids, of which only the first is read (wolph/numpy-stl, issue 64; mikedh/trimesh, issue 1053);
`end solid` and `end loop` with a blank (numpy-stl, issue 206; cnr-isti-vclab/meshlab, issue 194).
"""

import numpy as np
import pytest
import trimesh

from anyscene.datasets.geometry import stl
from anyscene.errors import DataError

XYZ = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0.1]], np.float32)
FACE = np.array([[0, 1, 2], [1, 3, 2]])


@pytest.fixture(params=["stl", "stl_ascii"])
def path(tmp_path, request):
    trimesh.Trimesh(XYZ, FACE, process=False).export(tmp_path / "m.stl", file_type=request.param)
    return tmp_path / "m.stl"


def test_triangles_have_vertices_of_their_own(path):
    found = stl.read(path)
    assert np.allclose(found.xyz, XYZ[FACE].reshape(-1, 3)) and found.face.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found.rgb is None and found.up is None and found.normal is None


def test_a_binary_file_whose_header_begins_as_text(tmp_path):
    """SolidWorks writes such (stl_reader#3)."""
    trimesh.Trimesh(XYZ, FACE, process=False).export(tmp_path / "m.stl")
    (tmp_path / "m.stl").write_bytes(b"solid part" + (tmp_path / "m.stl").read_bytes()[10:])
    assert np.allclose(stl.read(tmp_path / "m.stl").xyz, XYZ[FACE].reshape(-1, 3))


FACET = """facet normal 0 0 1
  outer loop
    vertex {0} 0 0
    vertex {0} 1 0
    vertex {0} 0 1
  end loop
endfacet
"""


@pytest.mark.parametrize("written", [str.lower, str.upper, str.title])
def test_solids_in_capitals_or_not(tmp_path, written):
    """All solids of a file, whatever their names."""
    text = "solid a\n" + FACET.format(0) + "endsolid a\nsolid\n" + FACET.format(5) + "end solid\n"
    (tmp_path / "m.stl").write_text(written(text))
    found = stl.read(tmp_path / "m.stl")
    assert found.xyz[:, 0].tolist() == [0, 0, 0, 5, 5, 5] and found.face.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_bytes_behind_the_last_triangle_do_no_harm(tmp_path):
    trimesh.Trimesh(XYZ, FACE, process=False).export(tmp_path / "m.stl")
    (tmp_path / "m.stl").write_bytes((tmp_path / "m.stl").read_bytes() + b"\0\n")
    assert np.allclose(stl.read(tmp_path / "m.stl").xyz, XYZ[FACE].reshape(-1, 3))


def test_a_file_that_is_cut(path):
    whole = path.read_bytes()
    path.write_bytes(whole[:-30] if whole[:5] != b"solid" else whole[: whole.rindex(b"vertex")])
    with pytest.raises(DataError, match=r"m\.stl: not a readable STL file, or cut"):
        stl.read(path)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        *((data, "file, or cut") for data in (b"", b"nothing", b"solid a\nendsolid a\n", bytes(84))),
        (b"vertex a b c", r"m\.stl: not a readable STL file \(could not convert"),
    ],
)
def test_damage_is_named(tmp_path, data, said):
    (tmp_path / "m.stl").write_bytes(data)
    with pytest.raises(DataError, match=said):
        stl.read(tmp_path / "m.stl")
