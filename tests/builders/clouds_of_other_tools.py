"""One mesh in the files of other tools. A test is skipped where the package that writes one is missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest


def write_las(path: Path, xyz: np.ndarray, rgb: np.ndarray, face: np.ndarray) -> None:
    """Points of LAS 1.2, at steps of 0.1 mm."""
    laspy = pytest.importorskip("laspy")
    if path.suffix == ".laz":
        pytest.importorskip("lazrs")
    header = laspy.LasHeader(point_format=2, version="1.2")
    header.offsets, header.scales = xyz.min(0), [0.0001] * 3
    data = laspy.LasData(header)
    data.x, data.y, data.z = xyz.T
    data.red, data.green, data.blue = rgb.T.astype(np.uint16) * 256
    data.write(str(path))


def write_e57(path: Path, xyz: np.ndarray, rgb: np.ndarray, face: np.ndarray) -> None:
    """One scan, by a scanner in the middle of the points."""
    pye57 = pytest.importorskip("pye57")
    middle = np.asarray(xyz, np.float64).mean(0)
    data = dict(zip(("cartesianX", "cartesianY", "cartesianZ"), (xyz - middle).T, strict=True))
    data |= dict(zip(("colorRed", "colorGreen", "colorBlue"), np.ascontiguousarray(rgb.T), strict=True))
    with pye57.E57(str(path), mode="w") as file:
        file.write_scan_raw(data, translation=middle)


def write_text(path: Path, xyz: np.ndarray, rgb: np.ndarray, face: np.ndarray) -> None:
    """x y z red green blue."""
    np.savetxt(path, np.column_stack([xyz, rgb]), fmt="%.9g")


def write_obj(path: Path, xyz: np.ndarray, rgb: np.ndarray, face: np.ndarray) -> None:
    """Vertices with colours in 0..1."""
    with path.open("w") as file:
        np.savetxt(file, np.column_stack([xyz, rgb / 255]), fmt="v %.9g %.9g %.9g %.6f %.6f %.6f")
        np.savetxt(file, face + 1, fmt="f %d %d %d")


def write_by_trimesh(path: Path, xyz: np.ndarray, rgb: np.ndarray, face: np.ndarray) -> None:
    """A .glb, with +y up as its format says, or an .stl."""
    import trimesh

    if path.suffix == ".glb":
        xyz = xyz @ np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]])  # z becomes y
    trimesh.Trimesh(xyz, face, vertex_colors=rgb, process=False).export(path)


WRITERS: dict[str, Callable[[Path, np.ndarray, np.ndarray, np.ndarray], None]] = {
    ".las": write_las,
    ".laz": write_las,
    ".e57": write_e57,
    ".xyz": write_text,
    ".obj": write_obj,
    ".glb": write_by_trimesh,
    ".stl": write_by_trimesh,
}
