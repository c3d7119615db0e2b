"""The forms of meshes and clouds that are read, by the ending of a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from anyscene.datasets import ply
from anyscene.datasets.geometry import columns, e57, gltf, las, obj, stl
from anyscene.datasets.geometry.geometry import Geometry
from anyscene.errors import DataError

Reader = Callable[[Path], Geometry]

MESHES: dict[str, Reader] = {
    ".ply": ply.read,
    ".obj": obj.read,
    ".glb": gltf.read,
    ".gltf": gltf.read,
    ".stl": stl.read,
}
CLOUDS: dict[str, Reader] = {
    ".las": las.read,
    ".laz": las.read,
    ".e57": e57.read,
    ".xyz": columns.read_text,
    ".pts": columns.read_text,
    ".txt": columns.read_text,
    ".npy": columns.read_array,
}
READERS = MESHES | CLOUDS


def is_known(path: Path) -> bool:
    """Whether the ending of a file is that of a mesh or a cloud."""
    return path.suffix.lower() in READERS


def read(path: Path) -> Geometry:
    """What a file of a mesh or a cloud holds. Raises DataError that names the file, also for another ending;
    and ModuleNotFoundError where the extra `clouds` is needed and is not installed."""
    if not is_known(path):
        raise DataError(f"{path}: no mesh or cloud that is known here: {', '.join(READERS)}")
    if not path.is_file():
        raise DataError(f"{path}: no such file; check the path")
    try:
        return READERS[path.suffix.lower()](path)
    except ValueError as error:  # of colours whose range has no meaning
        raise DataError(f"{path}: {error}; export it again") from error
