"""E57 files, written by the library that reads them, and by hand where it does not write a form.

What people report of other readers: points without cartesianInvalidState, and fields of other names
(davidcaron/pye57, issue 6); spherical coordinates (issue 69); a pose that has no rotation, as of ReCap and
Trimble (issue 58).
"""

import numpy as np
import pytest

from anyscene.datasets.geometry import e57, formats
from anyscene.errors import DataError

pye57 = pytest.importorskip("pye57")

XYZ = np.array([[693000.123, 5337000.456, 520.789], [693001, 5337002, 521], [693004, 5337000, 522.5]])
RGB = np.array([[255, 0, 7], [1, 2, 3], [200, 100, 0]])


def field(file, libe57, name, values):
    kind = libe57.IntegerNode if values.dtype.kind in "iu" else libe57.FloatNode
    if kind is libe57.IntegerNode:
        low, high = int(values.min()), int(values.max())
        return kind(file.image_file, low, low, high)
    low, high = float(values.min()), float(values.max())
    return kind(file.image_file, low, libe57.E57_DOUBLE, low, high)


def write_e57(path, *scans):
    """scans: each (fields by their names, rotation [w, x, y, z] and translation, or None)."""
    libe57 = pye57.libe57
    with pye57.E57(str(path), mode="w") as file:
        if any(name.startswith("nor:") for fields, _ in scans for name in fields):
            file.image_file.extensionsAdd("nor", "http://www.libe57.org/E57_NOR_surface_normals.txt")
        for fields, pose in scans:
            node, prototype = libe57.StructureNode(file.image_file), libe57.StructureNode(file.image_file)
            node.set("guid", libe57.StringNode(file.image_file, "{0}"))
            if pose is not None:
                of_scan = libe57.StructureNode(file.image_file)
                node.set("pose", of_scan)
                for part, names, values in zip(
                    ("rotation", "translation"), ("wxyz", "xyz"), pose, strict=True
                ):
                    if values is None:
                        continue
                    numbers = libe57.StructureNode(file.image_file)
                    for name, value in zip(names, values, strict=True):
                        numbers.set(name, libe57.FloatNode(file.image_file, float(value)))
                    of_scan.set(part, numbers)
            for name, values in fields.items():
                prototype.set(name, field(file, libe57, name, values))
            points = libe57.CompressedVectorNode(
                file.image_file, prototype, libe57.VectorNode(file.image_file, True)
            )
            node.set("points", points)
            file.data3d.append(node)
            buffers = libe57.VectorSourceDestBuffer()
            kept = []
            for name, values in fields.items():
                kept.append(np.ascontiguousarray(values, np.float64))
                buffers.append(
                    libe57.SourceDestBuffer(file.image_file, name, kept[-1], len(values), True, True)
                )
            points.writer(buffers).write(len(values))
    return path


def placed(xyz, names=e57.CARTESIAN):
    return dict(zip(names, xyz.T, strict=True))


def coloured(rgb):
    return dict(zip(e57.COLOURS, np.asarray(rgb).T, strict=True))


QUARTER = [np.sqrt(0.5), 0, 0, np.sqrt(0.5)]  # about z


def test_e57_of_two_scans_at_their_places(tmp_path):
    local = XYZ - XYZ[0]
    path = write_e57(
        tmp_path / "room.e57",
        (placed(local) | coloured(RGB), (QUARTER, XYZ[0])),
        (placed(XYZ) | coloured(RGB), None),
    )
    found = formats.read(path)
    turned = np.stack([-local[:, 1], local[:, 0], local[:, 2]], 1) + XYZ[0]
    assert np.allclose(found.xyz, np.concatenate([turned, XYZ]), rtol=0, atol=1e-8)
    assert found.rgb.tolist() == [*RGB.tolist(), *RGB.tolist()]
    assert np.allclose(found.seen_from, np.concatenate([np.tile(XYZ[0], (3, 1)), np.zeros((3, 3))]))
    assert found.normal is None


def test_e57_whose_pose_has_one_part(tmp_path):
    local = XYZ - XYZ[0]
    path = write_e57(tmp_path / "room.e57", (placed(local), (None, XYZ[0])), (placed(local), (QUARTER, None)))
    found = e57.read(path)
    turned = np.stack([-local[:, 1], local[:, 0], local[:, 2]], 1)
    assert np.allclose(found.xyz, np.concatenate([XYZ, turned]), rtol=0, atol=1e-8)
    assert np.allclose(found.seen_from, np.repeat([XYZ[0], np.zeros(3)], 3, axis=0))


def test_e57_with_fields_that_are_not_read(tmp_path):
    more = {"intensity": np.array([0.1, 0.2, 0.3]), "rowIndex": np.array([0, 1, 2]), "timeStamp": XYZ[:, 0]}
    found = e57.read(write_e57(tmp_path / "room.e57", (placed(XYZ) | more | coloured(RGB), None)))
    assert np.allclose(found.xyz, XYZ, rtol=0, atol=1e-8) and found.rgb.tolist() == RGB.tolist()


def test_e57_in_spherical_coordinates(tmp_path):
    xyz = np.array([[1.0, 2, 3], [-4, 5, -6], [0.5, -0.25, 0.125]])
    away = np.linalg.norm(xyz, axis=1)
    sphere = np.stack([away, np.arctan2(xyz[:, 1], xyz[:, 0]), np.arcsin(xyz[:, 2] / away)], 1)
    path = write_e57(tmp_path / "room.e57", (placed(sphere, e57.SPHERICAL), (QUARTER, [10, 20, 30])))
    found = e57.read(path)
    assert np.allclose(found.xyz, np.stack([-xyz[:, 1], xyz[:, 0], xyz[:, 2]], 1) + [10, 20, 30])
    assert found.rgb is None


def test_e57_leaves_out_what_it_marks_as_invalid(tmp_path):
    state = {"cartesianInvalidState": np.array([0, 2, 0])}
    found = e57.read(write_e57(tmp_path / "room.e57", (placed(XYZ) | coloured(RGB) | state, None)))
    assert np.allclose(found.xyz, XYZ[[0, 2]]) and found.rgb.tolist() == RGB[[0, 2]].tolist()
    assert len(found.seen_from) == 2


@pytest.mark.parametrize("values", [RGB, RGB * 257, RGB / 255])
def test_e57_with_colours_of_any_depth(tmp_path, values):
    found = e57.read(write_e57(tmp_path / "room.e57", (placed(XYZ) | coloured(values), None)))
    assert found.rgb.tolist() == RGB.tolist()


def test_e57_with_normals_which_the_pose_turns(tmp_path):
    normal = np.array([[1.0, 0, 0], [0, 0, 2], [0.6, 0.8, 0]])
    fields = placed(XYZ) | placed(normal, e57.NORMALS)
    found = e57.read(write_e57(tmp_path / "room.e57", (fields, (QUARTER, [0, 0, 0]))))
    assert np.allclose(found.normal, [[0, 1, 0], [0, 0, 1], [-0.8, 0.6, 0]], atol=1e-6)
    both = e57.read(write_e57(tmp_path / "two.e57", (fields, None), (placed(XYZ), None)))
    assert both.normal is None and len(both.xyz) == 6


def test_e57_as_its_own_library_writes_it(tmp_path):
    with pye57.E57(str(tmp_path / "room.e57"), mode="w") as file:
        local = (XYZ - XYZ[0]).astype(np.float32)
        data = placed(local) | coloured(RGB.astype(np.uint8))
        file.write_scan_raw(data, translation=XYZ[0])
    found = e57.read(tmp_path / "room.e57")
    assert np.allclose(found.xyz, XYZ, rtol=0, atol=1e-6) and found.rgb.tolist() == RGB.tolist()


def test_a_file_whose_points_are_all_invalid(tmp_path):
    path = write_e57(
        tmp_path / "room.e57", (placed(XYZ) | {"cartesianInvalidState": np.array([1, 2, 2])}, None)
    )
    with pytest.raises(DataError, match=r"room\.e57: holds no points; export it again"):
        e57.read(path)


@pytest.mark.parametrize("data", [b"", b"nothing", b"ASTM-E57" + bytes(100)])
def test_damage_is_named(tmp_path, data):
    (tmp_path / "room.e57").write_bytes(data)
    with pytest.raises(DataError, match=r"room\.e57: not a readable E57 file \("):
        formats.read(tmp_path / "room.e57")
