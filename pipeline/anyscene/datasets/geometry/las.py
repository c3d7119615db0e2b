"""Clouds in LAS and LAZ files (ASPRS, LAS 1.4 R15), by laspy."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from anyscene.datasets.geometry.colours import as_bytes
from anyscene.datasets.geometry.geometry import Geometry
from anyscene.errors import DataError


def read(path: Path) -> Geometry:
    """All points of the file, in its order and in its coordinates. Colours that are 0 everywhere are none.
    Raises DataError naming the file."""
    import laspy  # an extra

    unpacking: tuple[type[Exception], ...] = ()
    if path.suffix.lower() == ".laz":
        import lazrs  # an extra by which laspy unpacks

        unpacking = (lazrs.LazrsError,)
    try:
        las = laspy.read(path)
    except (OSError, ValueError, EOFError, laspy.errors.LaspyException, *unpacking) as error:
        raise DataError(f"{path}: not a readable LAS file ({error}); export it again") from error
    rgb = None
    if {"red", "green", "blue"} <= set(las.point_format.dimension_names):
        values = np.stack([np.asarray(las[name]) for name in ("red", "green", "blue")], 1)
        rgb = as_bytes(values) if values.any() else None
    return Geometry(np.array(las.xyz, np.float64).reshape(-1, 3), np.zeros((0, 3), np.int32), rgb)
