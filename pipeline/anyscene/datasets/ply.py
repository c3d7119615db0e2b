"""Meshes and clouds in PLY files. The order of vertices is kept."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from plyfile import PlyData, PlyElement, PlyParseError

from anyscene.arrays import F4, I4, I8, U1, Array, Floats, Integers
from anyscene.datasets.geometry import colours, ply_text, texture
from anyscene.datasets.geometry.geometry import Geometry
from anyscene.datasets.geometry.normals import unit, vertex_normals
from anyscene.datasets.geometry.polygons import fans
from anyscene.errors import DataError
from anyscene.project import outputs

TRIANGLES = {  # read at once, not one by one
    "face": {"vertex_indices": 3, "vertex_index": 3, "texcoord": 6}
}
INDICES = ("vertex_indices", "vertex_index")
# The names that tools give colours, and texture coordinates: MeshLab's and Blender's, libply's, assimp's.
COLOURS = (("red", "green", "blue"), ("diffuse_red", "diffuse_green", "diffuse_blue"), ("r", "g", "b"))
COORDINATES = (("s", "t"), ("u", "v"), ("texture_u", "texture_v"), ("texture_s", "texture_t"))
ENDING = ".ply"
END, EMPTY = re.compile(rb"(?<=\n)(?=end_header\b)"), re.compile(rb"(\r?\n)([ \t]*\r?\n)+")  # of a header
# what plyfile raises for a damaged file; the last two where its header counts more than any file holds
DAMAGED = (OSError, PlyParseError, UnicodeDecodeError, OverflowError, MemoryError)
GAUSSIAN = "f_dc_0"  # a colour of 3D Gaussian splatting


def read_mesh(path: Path) -> tuple[Floats, U1, F4, I4]:
    """(xyz f4|f8[N,3], rgb u1[N,3], normal f4[N,3], face i4[F,3]) of the mesh in a PLY file, in the order of
    the file. xyz is f8 where the file has doubles, as it needs for coordinates of a map. Polygons become fans
    of triangles. Without faces the normals are those of the file, 0 where it has none.

    Raises DataError for a truncated or empty file, missing colours, points that are not finite and faces that
    name vertices beyond the last.

    >>> xyz, rgb = np.eye(3), np.full((3, 3), 255, np.uint8)
    >>> anyscene.write_mesh("triangle.ply", xyz, rgb, np.array([[0, 1, 2]]))
    >>> xyz, rgb, normal, face = anyscene.read_mesh("triangle.ply")
    >>> normal[0].astype(float).round(2).tolist(), face.tolist()
    ([0.58, 0.58, 0.58], [[0, 1, 2]])
    """
    found = read(Path(path))  # a text is taken too
    if found.rgb is None:
        raise DataError(f"{path}: needs vertices with x, y, z, red, green, blue; it has no colours")
    xyz, normal = found.xyz, found.normal
    if len(found.face) or normal is None:
        normal = vertex_normals(xyz, found.face)
    return xyz, found.rgb, normal, found.face


def read(path: Path) -> Geometry:
    """What a PLY file holds, in the order of the file. Polygons become fans of triangles.

    Colours are those of the vertices, or where it has none or a single one, of its texture, the image that a
    comment `TextureFile NAME` names. Normals are read where it has no faces. Raises DataError as `read_mesh`,
    but for missing colours.
    """
    try:
        mesh = _load(path)
        vertex = mesh["vertex"]
        xyz = _places(np.column_stack([vertex[axis] for axis in "xyz"]))
        corner, slot = _faces(path, mesh)
        rgb = _colours(vertex)
    except DAMAGED as error:
        raise DataError(f"{path}: not a readable PLY mesh ({error}); export it again") from error
    except (KeyError, ValueError) as error:
        raise DataError(
            f"{path}: needs vertices with x, y and z; colours and faces may be missing ({error})"
        ) from error
    if GAUSSIAN in vertex.data.dtype.names:
        raise DataError(f"{path}: holds Gaussian splats, which are no surface; export a mesh or a cloud")
    if "tristrips" in mesh and mesh["tristrips"].count:
        raise DataError(f"{path}: its faces are strips of triangles; save them as triangles")
    if len(xyz) == 0:
        raise DataError(f"{path}: the mesh is empty; export it again, or delete it to take points from depth")
    if not np.isfinite(xyz).all():
        raise DataError(f"{path}: vertex {np.flatnonzero(~np.isfinite(xyz).all(1))[0]} is NaN or infinite")
    if len(corner) and (corner.min() < 0 or corner.max() >= len(xyz)):
        bad = np.flatnonzero(((corner < 0) | (corner >= len(xyz))).any(1))[0]
        raise DataError(
            f"{path}: face {bad} names vertex {corner[bad].max()}, but there are {len(xyz)}; export again"
        )
    face = corner.astype(np.int32)
    if (image := _texture(path, mesh)) is not None and (rgb is None or (rgb == rgb[0]).all()):
        rgb = _textured(path, image, mesh, face, slot)
    return Geometry(xyz, face, rgb, None if len(face) else _normals(vertex))


def write_mesh(
    path: Path,
    xyz: Floats,
    rgb: U1 | None,
    face: Integers,
    comments: Sequence[str] = (),
    **values: Array,
) -> None:
    """Write a binary PLY file of xyz f4|f8[N,3], floats or doubles, rgb u1[N,3] and face i4[F,3]. rgb may be
    None. `values` [N] are further scalars of each vertex; `comments` are lines, in which letters beyond ASCII
    are escaped. The file appears whole or not at all. Raises OutputError where it cannot be written.

    >>> xyz, rgb = np.eye(3), np.zeros((3, 3), np.uint8)
    >>> label = np.array([2, 2, 0], np.int32)
    >>> anyscene.write_mesh("cloud.ply", xyz, rgb, np.zeros((0, 3), int), comments=["one"], label=label)
    >>> anyscene.read_mesh("cloud.ply")[0].tolist() == xyz.tolist()
    True
    """
    columns: dict[str, Array] = dict(zip(("x", "y", "z"), _places(xyz).T, strict=True))
    if rgb is not None:
        columns |= dict(zip(("red", "green", "blue"), rgb.astype(np.uint8).T, strict=True))
    columns |= values
    vertex = np.empty(len(xyz), [(name, column.dtype) for name, column in columns.items()])
    for name, column in columns.items():
        vertex[name] = column
    triangle = np.empty(len(face), [("vertex_indices", np.int32, (3,))])
    triangle["vertex_indices"] = face
    said = [line.encode("ascii", "backslashreplace").decode() for line in comments]
    elements = [PlyElement.describe(vertex, "vertex"), PlyElement.describe(triangle, "face")]
    with outputs.replaced(Path(path)) as partial:  # a text is taken too
        PlyData(elements if len(face) else elements[:1], comments=said).write(partial)


def _places(xyz: Array) -> Floats:
    """f8 where it is f8, else f4."""
    return xyz if xyz.dtype == np.float64 else xyz.astype(np.float32, copy=False)


def _load(path: Path) -> PlyData:
    if ply_text.is_text(path):
        return ply_text.read(path)
    source = _without_empty_lines(path)
    try:
        return PlyData.read(source, known_list_len=TRIANGLES)
    except PlyParseError:
        if isinstance(source, io.BytesIO):
            source.seek(0)
        return PlyData.read(source)


def _without_empty_lines(path: Path) -> Path | io.BytesIO:
    """A PLY file, or where its header has empty lines, which some tools write and plyfile refuses, one
    without them."""
    with path.open("rb") as file:
        head = END.split(file.read(ply_text.MOST), 1)[0]
    if not EMPTY.search(head):
        return path
    return io.BytesIO(EMPTY.sub(rb"\1", head) + path.read_bytes()[len(head) :])


def _columns(element: PlyElement, names: Sequence[Sequence[str]]) -> Array | None:
    """[N, C]: the first group of `names` that the element has, whatever their case."""
    there = {name.lower(): name for name in element.data.dtype.names}
    for group in names:
        if all(name in there for name in group):
            return np.column_stack([element[there[name]] for name in group])
    return None


def _colours(vertex: PlyElement) -> U1 | None:
    values = _columns(vertex, COLOURS)
    return None if values is None else colours.as_bytes(values)


def _normals(vertex: PlyElement) -> F4 | None:
    values = _columns(vertex, [("nx", "ny", "nz")])
    if values is None:
        return None
    known = np.isfinite(values).all(axis=1, keepdims=True)
    normal = unit(np.where(known, values, 0).astype(np.float64))
    return normal if normal.any() else None


def _faces(path: Path, mesh: PlyData) -> tuple[I8, I8]:
    """As `fans` of the faces. Raises DataError where a face names a vertex by what is no whole number."""
    if "face" not in mesh or not mesh["face"].count:
        return fans(np.zeros((0, 3), np.int64))
    face = mesh["face"]
    named = face.data.dtype.names
    indices = face[next((name for name in INDICES if name in named), INDICES[0])]
    try:
        return fans(indices)
    except ValueError as error:
        raise DataError(
            f"{path}: a face names a vertex by no number of one ({error}); export again"
        ) from error


def _texture(path: Path, mesh: PlyData) -> Path | None:
    """The image that comments name. Raises DataError where there are several, or it is not there."""
    said = [line.split(maxsplit=1) for line in (*mesh.comments, *mesh.obj_info)]
    names = [words[1].strip() for words in said if len(words) == 2 and words[0].lower() == "texturefile"]
    if not names:
        return None
    if len(names) > 1:
        raise DataError(f"{path}: has {len(names)} textures; save it with one, or with colours of vertices")
    image: Path = path.parent / names[0]
    if not image.is_file():
        raise DataError(f"{image}: missing, the texture of {path.name}; put it there")
    return image


def _textured(path: Path, image: Path, mesh: PlyData, face: I4, slot: I8) -> U1:
    """u1[N, 3] by the coordinates of corners, else of vertices. Raises DataError where there are none."""
    own = _columns(mesh["vertex"], COORDINATES)
    laid = mesh["face"]["texcoord"] if len(face) and "texcoord" in mesh["face"].data.dtype.names else None
    try:
        with Image.open(image) as pixels:
            if laid is not None:
                flat = np.concatenate(laid) if laid.dtype == object else laid.ravel()
                if len(flat) != 2 * (slot.max() + 1):
                    raise DataError(
                        f"{path}: texcoord of faces must be two numbers for each corner; save it again"
                    )
                corner = texture.sampled(pixels, flat.reshape(-1, 2).astype(np.float64)[slot].reshape(-1, 2))
                return texture.of_corners(corner.reshape(-1, 3, 3), face, mesh["vertex"].count)
            if own is None:
                raise DataError(f"{path}: has a texture and no coordinates for it; save it again with them")
            return texture.sampled(pixels, own)
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{image}: not a readable image ({error}); save it again") from error
