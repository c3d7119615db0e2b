"""Wavefront OBJ files, with the colours of vertices, of materials, or of textures.

A vertex is a line `v`, in the order of the file, however many texture coordinates its corners have.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath

import numpy as np
from PIL import Image

from anyscene.arrays import I8, U1
from anyscene.datasets.geometry.colours import GREY, as_bytes
from anyscene.datasets.geometry.geometry import Geometry
from anyscene.datasets.geometry.polygons import fans
from anyscene.datasets.geometry.texture import of_corners, sampled
from anyscene.errors import DataError


@dataclass
class _Lines:
    """What the lines of a file say."""

    vertex: list[list[float]] = field(default_factory=list)  # x, y, z, and red, green, blue where it has them
    coordinate: list[list[float]] = field(default_factory=list)  # u, v
    polygon: list[list[int]] = field(default_factory=list)  # vertices, from 0
    laid: list[list[int]] = field(default_factory=list)  # texture coordinates of its corners, -1: none
    material: list[int] = field(default_factory=list)  # of each polygon, -1: none
    names: dict[str, int] = field(default_factory=dict)  # of materials
    libraries: list[str] = field(default_factory=list)  # files of materials


def read(path: Path) -> Geometry:
    """The vertices and faces of the file, in its order. Polygons become fans of triangles.

    The colour of a vertex is the mean over its corners of what its texture shows there, or of the colour of
    its material; or its own, where the file gives one (MeshLab's `v x y z r g b`) and has no texture. Raises
    DataError naming the file that is wrong or missing.
    """
    try:
        said = _parsed(path)
        corner, slot = fans(_ragged(said.polygon))
    except (OSError, ValueError, IndexError, OverflowError) as error:
        raise DataError(f"{path}: not a readable OBJ file ({error}); export it again") from error
    width = min((len(one) for one in said.vertex), default=0)
    if width < 3:
        raise DataError(f"{path}: has no vertices with x, y, z; export it again")
    vertex = np.array([one[:width] for one in said.vertex], np.float64)
    if corner.size and not 0 <= corner.min() <= corner.max() < len(vertex):
        raise DataError(f"{path}: a face names a vertex that is not there; export it again")
    face = corner.astype(np.int32)
    own = as_bytes(vertex[:, 3:6]) if width >= 6 else None
    rgb = _of_materials(path, said, corner, slot, own is not None)
    return Geometry(vertex[:, :3], face, own if rgb is None else rgb)


def _parsed(path: Path) -> _Lines:
    said, current = _Lines(), -1
    text = path.read_text(encoding="utf-8", errors="replace").replace("\\\n", " ")
    for line in text.split("\n"):
        word, rest = _parted(line)
        if word == "v":
            said.vertex.append([float(value) for value in rest.split()])
        elif word == "vt":
            u, v, *_ = *map(float, rest.split()), 0.0  # a strip of an image has u alone
            said.coordinate.append([u, v])
        elif word == "f":
            corners = [corner.split("/") for corner in rest.split()]
            said.polygon.append([_index(one[0], len(said.vertex)) for one in corners])
            laid = [one[1] if len(one) > 1 else "" for one in corners]
            said.laid.append([_index(one, len(said.coordinate)) if one else -1 for one in laid])
            said.material.append(current)
        elif word == "usemtl":
            current = said.names.setdefault(rest, len(said.names))
        elif word == "mtllib":
            said.libraries.append(rest)
    return said


def _parted(line: str) -> tuple[str, str]:
    """The keyword of a line, and what follows it, after blanks or tabs."""
    word, *rest = line.split(maxsplit=1) or [""]
    return word, rest[0].strip() if rest else ""


def _index(text: str, count: int) -> int:
    """From 1, or from the end, to from 0. Raises ValueError for 0, which names nothing."""
    index = int(text)
    if index == 0:
        raise ValueError("a face names 0, they count from 1")
    return index - 1 if index > 0 else count + index


def _ragged(lists: list[list[int]]) -> I8:
    """Objects [P] of integers, or integers [P, K] where all lists are of one length."""
    if len({len(one) for one in lists}) == 1:
        return np.array(lists, np.int64)
    ragged = np.empty(len(lists), object)
    ragged[:] = [np.array(one, np.int64) for one in lists]
    return ragged


def _of_materials(path: Path, said: _Lines, face: I8, slot: I8, coloured: bool) -> U1 | None:
    """u1[N, 3] by the materials of the faces; None where they have none, or, beside `coloured` vertices, no
    texture."""
    if not said.names or not len(face):
        return None
    try:
        known = _materials(path, said)
    except DataError:
        if coloured:  # an .obj is often passed on alone
            return None
        raise
    images = {name: image for name, (image, _) in known.items() if image is not None}
    if not images and (coloured or all(colour is None for _, colour in known.values())):
        return None
    sizes = np.maximum(np.array([len(one) for one in said.polygon]) - 2, 0)
    material = np.repeat(said.material, sizes)
    laid = np.concatenate([np.array(one) for one in said.laid])[slot]
    corner = np.full((len(face), 3, 3), GREY, np.uint8)
    coordinate = np.array([*said.coordinate, [np.nan, np.nan]])  # -1: none
    if not -1 <= laid.min() <= laid.max() < len(said.coordinate):
        raise DataError(f"{path}: a face names a texture coordinate that is not there; export it again")
    for name, number in said.names.items():
        inside = material == number
        image, colour = known.get(name, (None, None))
        if colour is not None:
            corner[inside] = colour
        if image is not None and inside.any():
            try:
                with Image.open(image) as pixels:
                    uv = coordinate[laid[inside]].reshape(-1, 2)
                    corner[inside] = sampled(pixels, uv).reshape(-1, 3, 3)
            except (OSError, SyntaxError, ValueError) as error:
                raise DataError(f"{image}: not a readable image ({error}); export it again") from error
    return of_corners(corner, face, len(said.vertex))


def _materials(path: Path, said: _Lines) -> dict[str, tuple[Path | None, U1 | None]]:
    """(the image, the diffuse colour) of each material. Raises DataError where a file is missing."""
    found: dict[str, tuple[Path | None, U1 | None]] = {}
    for file in [file for names in said.libraries for file in _libraries(path, names)]:
        name = ""
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            word, rest = _parted(line)
            if word == "newmtl":
                name = rest
                found[name] = None, None
            elif word.lower() == "map_kd" and name:
                found[name] = _beside(file, rest), found[name][1]
            elif word == "Kd" and name:
                found[name] = (
                    found[name][0],
                    as_bytes(np.array([[float(one) for one in rest.split()[:3]]]))[0],
                )
    return found


def _libraries(path: Path, names: str) -> list[Path]:
    """The files that a line names: one, whose name may have blanks, or several."""
    whole = _found(path, names)
    return [whole] if whole is not None else [_beside(path, name) for name in names.split()]


def _beside(file: Path, name: str) -> Path:
    """The file `name` that `file` names; options before it are left out. Raises DataError where it is
    missing."""
    for one in (name, *name.split()[-1:]):
        if (there := _found(file, one)) is not None:
            return there
    raise DataError(
        f"{file.parent / PureWindowsPath(name).name}: missing, {file.name} names it; put it there"
    )


def _found(file: Path, name: str) -> Path | None:
    """The file `name`, without the folders of another machine where it lies beside `file`."""
    windows = PureWindowsPath(name)  # takes both kinds of slashes
    places = (file.parent / Path(*windows.parts), file.parent / windows.name)
    return next((there for there in places if there.is_file()), None)
