"""Meshes with vertex colours in PLY files. The order of vertices is kept."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from plyfile import PlyData, PlyElement, PlyParseError

from anyscene.arrays import F4, F8, I4, I8, U1, Array, Floats, Integers
from anyscene.errors import DataError

TRIANGLES = {"face": dict.fromkeys(("vertex_indices", "vertex_index"), 3)}  # read at once, not one by one


def read_mesh(path: Path) -> tuple[Floats, U1, F4, I4]:
    """(xyz f4|f8[N,3], rgb u1[N,3], normal f4[N,3], face i4[F,3]) of the mesh in a PLY file, in the order of
    the file. xyz is f8 where the file has doubles, as it needs for coordinates of a map. Polygons become fans
    of triangles.

    Raises DataError for a truncated or empty file, missing colours, points that are not finite and faces that
    name vertices beyond the last.

    >>> xyz, rgb = np.eye(3), np.full((3, 3), 255, np.uint8)
    >>> anyscene.write_mesh("triangle.ply", xyz, rgb, np.array([[0, 1, 2]]))
    >>> xyz, rgb, normal, face = anyscene.read_mesh("triangle.ply")
    >>> normal[0].astype(float).round(2).tolist(), face.tolist()
    ([0.58, 0.58, 0.58], [[0, 1, 2]])
    """
    try:
        mesh = _load(path)
        vertex = mesh["vertex"]
        xyz = _places(np.column_stack([vertex[axis] for axis in "xyz"]))
        rgb: U1 = np.column_stack([vertex[name] for name in ("red", "green", "blue")])
        corner = _triangles(mesh["face"]) if "face" in mesh else np.zeros((0, 3), np.int64)
    except (OSError, PlyParseError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a readable PLY mesh ({error}); export it again") from error
    except (KeyError, ValueError) as error:
        raise DataError(
            f"{path}: needs vertices with x, y, z, red, green, blue, and faces ({error})"
        ) from error
    if len(xyz) == 0:
        raise DataError(f"{path}: the mesh is empty; export it again, or delete it to take points from depth")
    if not np.isfinite(xyz).all():
        raise DataError(f"{path}: vertex {np.flatnonzero(~np.isfinite(xyz).all(1))[0]} is NaN or infinite")
    if rgb.dtype != np.uint8:
        raise DataError(f"{path}: colours must be uchar 0..255, not {rgb.dtype}")
    if len(corner) and (corner.min() < 0 or corner.max() >= len(xyz)):
        bad = np.flatnonzero(((corner < 0) | (corner >= len(xyz))).any(1))[0]
        raise DataError(
            f"{path}: face {bad} names vertex {corner[bad].max()}, but there are {len(xyz)}; export again"
        )
    face = corner.astype(np.int32)
    return xyz, rgb, vertex_normals(xyz, face), face


def write_mesh(
    path: Path,
    xyz: Floats,
    rgb: U1,
    face: Integers,
    comments: Sequence[str] = (),
    **values: Array,
) -> None:
    """Write a binary PLY file of xyz f4|f8[N,3], floats or doubles, rgb u1[N,3] and face i4[F,3]. `values`
    [N] are further scalars of each vertex; `comments` are lines of ASCII.

    >>> xyz, rgb = np.eye(3), np.zeros((3, 3), np.uint8)
    >>> label = np.array([2, 2, 0], np.int32)
    >>> anyscene.write_mesh("cloud.ply", xyz, rgb, np.zeros((0, 3), int), comments=["one"], label=label)
    >>> anyscene.read_mesh("cloud.ply")[0].tolist() == xyz.tolist()
    True
    """
    columns: dict[str, Array] = dict(zip(("x", "y", "z"), _places(xyz).T, strict=True))
    columns |= dict(zip(("red", "green", "blue"), rgb.astype(np.uint8).T, strict=True))
    columns |= values
    vertex = np.empty(len(xyz), [(name, column.dtype) for name, column in columns.items()])
    for name, column in columns.items():
        vertex[name] = column
    triangle = np.empty(len(face), [("vertex_indices", np.int32, (3,))])
    triangle["vertex_indices"] = face
    elements = [PlyElement.describe(vertex, "vertex"), PlyElement.describe(triangle, "face")]
    PlyData(elements if len(face) else elements[:1], comments=list(comments)).write(path)


def vertex_normals(xyz: Floats, face: Integers) -> F4:
    """f4[N,3]: the mean of the normals of the adjacent faces, weighted by their area, of length 1; 0 where a
    vertex has no face."""
    corner = xyz.astype(np.float64)[face]  # [F, 3, 3]
    area = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    normal = np.stack(
        [np.bincount(face.ravel(), np.repeat(area[:, axis], 3), len(xyz)) for axis in range(3)], 1
    ).astype(np.float64)  # without faces numpy counts in integers
    length = np.linalg.norm(normal, axis=1, keepdims=True)
    unit: F8 = np.divide(normal, length, out=np.zeros_like(normal), where=length > 0)
    return unit.astype(np.float32)


def _places(xyz: Array) -> Floats:
    """f8 where it is f8, else f4."""
    return xyz if xyz.dtype == np.float64 else xyz.astype(np.float32, copy=False)


def _load(path: Path) -> PlyData:
    try:
        return PlyData.read(path, known_list_len=TRIANGLES)
    except PlyParseError:
        return PlyData.read(path)


def _triangles(element: PlyElement) -> I8:
    name = "vertex_indices" if "vertex_indices" in element.data.dtype.names else "vertex_index"
    polygons = element[name]
    if polygons.dtype != object:
        return np.asarray(polygons, dtype=np.int64).reshape(-1, 3)
    fans = [(polygon[0], *pair) for polygon in polygons for pair in itertools.pairwise(polygon[1:])]
    return np.array(fans, dtype=np.int64).reshape(-1, 3)
