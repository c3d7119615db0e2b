"""STL files, binary and ASCII (3D Systems, 1989): triangles, without colours and without a unit."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from anyscene.datasets.geometry.geometry import Geometry
from anyscene.errors import DataError

TRIANGLE = np.dtype([("normal", "<f4", 3), ("corner", "<f4", (3, 3)), ("attribute", "<u2")])
HEADER = 84  # bytes, of which the last four are the number of triangles
VERTEX = re.compile(rb"vertex\s+(\S+)\s+(\S+)\s+(\S+)", re.IGNORECASE)  # DEFORM-3D writes capitals


def read(path: Path) -> Geometry:
    """The triangles of the file, each with vertices of its own. Raises DataError naming the file.

    The length tells binary from ASCII, since binary files of some tools begin with "solid", as only ASCII
    should. In ASCII the four bytes of the count are letters, which no file is long enough for. Some tools
    write more behind the last triangle."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error}); check its permissions") from error
    count = int.from_bytes(data[HEADER - 4 : HEADER], "little") if len(data) >= HEADER else 0
    if count and len(data) >= HEADER + count * TRIANGLE.itemsize:
        xyz = np.frombuffer(data, TRIANGLE, count, HEADER)["corner"].astype(np.float64)
    else:
        try:
            xyz = np.array(VERTEX.findall(data), np.float64)
        except ValueError as error:
            raise DataError(f"{path}: not a readable STL file ({error}); export it again") from error
        if not len(xyz) or len(xyz) % 3:
            raise DataError(f"{path}: not a readable STL file, or cut; export it again")
    xyz = xyz.reshape(-1, 3)
    return Geometry(xyz, np.arange(len(xyz), dtype=np.int32).reshape(-1, 3))
