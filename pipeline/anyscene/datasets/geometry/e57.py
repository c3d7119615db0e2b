"""Clouds in E57 files (ASTM E2807), by pye57."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from anyscene.arrays import F4, F8, U1
from anyscene.datasets.geometry.colours import as_bytes
from anyscene.datasets.geometry.geometry import Geometry
from anyscene.datasets.geometry.normals import unit
from anyscene.errors import DataError

CARTESIAN = ("cartesianX", "cartesianY", "cartesianZ")
SPHERICAL = ("sphericalRange", "sphericalAzimuth", "sphericalElevation")
COLOURS = ("colorRed", "colorGreen", "colorBlue")
NORMALS = ("nor:normalX", "nor:normalY", "nor:normalZ")  # of the extension E57_EXT_surface_normals
STATES = ("cartesianInvalidState", "sphericalInvalidState")


def read(path: Path) -> Geometry:
    """The points of all scans of the file, each moved by its pose, without those that it marks as invalid.

    Colours and normals are those of the file where all its scans have them. Raises DataError naming the
    file."""
    import pye57  # an extra

    try:
        with pye57.E57(str(path)) as file:
            scans = [_scan(pye57.libe57, file, index) for index in range(file.scan_count)]
    except (OSError, ValueError, RuntimeError, pye57.libe57.E57Exception) as error:
        raise DataError(f"{path}: not a readable E57 file ({error}); export it again") from error
    if not sum(len(xyz) for xyz, _, _, _ in scans):
        raise DataError(f"{path}: holds no points; export it again")
    xyz, rgb, normal, seen_from = zip(*scans, strict=True)
    return Geometry(
        np.concatenate(xyz),
        np.zeros((0, 3), np.int32),
        None if any(one is None for one in rgb) else np.concatenate(rgb),
        None if any(one is None for one in normal) else np.concatenate(normal),
        np.concatenate(seen_from),
    )


def _scan(libe57: Any, file: Any, index: int) -> tuple[F8, U1 | None, F4 | None, F8]:
    """(xyz f8[N,3], rgb u1[N,3], normal f4[N,3], where the scanner stood f8[N,3]) of a scan in the world."""
    header = file.get_header(index)
    columns = _columns(libe57, file, header)
    valid = np.ones(header.point_count, bool)
    for state in STATES:  # 0: valid
        if state in columns:
            valid &= columns[state] == 0
    if set(CARTESIAN) <= columns.keys():
        xyz = np.stack([columns[name] for name in CARTESIAN], 1)
    elif set(SPHERICAL) <= columns.keys():
        away, azimuth, elevation = (columns[name] for name in SPHERICAL)
        level = away * np.cos(elevation)
        xyz = np.stack([level * np.cos(azimuth), level * np.sin(azimuth), away * np.sin(elevation)], 1)
    else:
        raise ValueError(f"scan {index} has neither Cartesian nor spherical coordinates")
    turn, centre = np.eye(3), np.zeros(3)
    if header.has_pose():  # either part may be missing, and then moves nothing
        pose = header.node["pose"]
        turn = header.rotation_matrix if pose.isDefined("rotation") else turn
        centre = np.asarray(header.translation, np.float64) if pose.isDefined("translation") else centre
    xyz = (xyz @ turn.T + centre)[valid]
    rgb = _colours(columns)
    normal = None
    if set(NORMALS) <= columns.keys():
        normal = unit(np.nan_to_num(np.stack([columns[name] for name in NORMALS], 1) @ turn.T))[valid]
    return xyz, None if rgb is None else rgb[valid], normal, np.broadcast_to(centre, xyz.shape)


def _columns(libe57: Any, file: Any, header: Any) -> dict[str, F8]:
    """The fields of the points that are read here, f8[N] each. pye57's own `read_scan` takes bytes of colours
    and no normals."""
    wanted = {*CARTESIAN, *SPHERICAL, *COLOURS, *NORMALS, *STATES}
    count = header.point_count
    columns = {name: np.zeros(count) for name in header.point_fields if name in wanted}
    if count == 0:
        return columns
    buffers = libe57.VectorSourceDestBuffer()
    for name, column in columns.items():
        buffers.append(libe57.SourceDestBuffer(file.image_file, name, column, count, True, True))
    header.points.reader(buffers).read()
    return columns


def _colours(columns: dict[str, F8]) -> U1 | None:
    """The colours; None where there are none, or 0 everywhere."""
    if not set(COLOURS) <= columns.keys() or not any(columns[name].any() for name in COLOURS):
        return None
    return as_bytes(np.stack([columns[name] for name in COLOURS], 1))
