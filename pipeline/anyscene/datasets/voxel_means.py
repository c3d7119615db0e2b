"""What many depth maps measure, averaged in cubes of the world."""

from __future__ import annotations

from typing import TypeVar

import numba
import numpy as np

from anyscene.arrays import F8, I8, U1, Floats

# count, xyz, rgb, camera centre: what is summed in a cube
COLUMNS = 10
FREE = -1  # a place of the table in which no cube is
Rows = TypeVar("Rows", F8, I8)


class VoxelMeans:
    """Means over the points in each cube of `voxel` metres. What it keeps grows with the cubes, not with the
    points.

        cubes = VoxelMeans(0.02)
        cubes.add(xyz, rgb, centre)  # of each frame
        mean = cubes.means()
    """

    def __init__(self, voxel: float) -> None:
        self.voxel = voxel
        self._count = 0
        self._cell = np.zeros((0, 3), np.int64)
        self._sum = np.zeros((0, COLUMNS))
        self._table = np.zeros(0, np.int64)

    def __len__(self) -> int:
        """How many cubes have a point."""
        return self._count

    def add(self, xyz: F8, rgb: U1, centre: Floats) -> None:
        """Points xyz f8[P, 3] in metres with colours u1[P, 3] that a camera saw from `centre` [3]."""
        self._make_room(len(xyz))
        cell = np.floor(xyz / self.voxel).astype(np.int64)
        where = np.ascontiguousarray(centre, np.float64)
        self._count = _add(self._table, self._cell, self._sum, self._count, cell, xyz, rgb, where)

    def means(self) -> F8:
        """f8[N, 9]: place, colour and camera centre, a row for each cube, by the cubes' x, then y, then z."""
        cell, total = self._cell[: self._count], self._sum[: self._count]
        total = total[np.lexsort(cell.T[::-1])]
        mean: F8 = total[:, 1:] / total[:, :1]
        return mean

    def _make_room(self, more: int) -> None:
        """For so many more cubes, with half of the table's places free."""
        most = self._count + more
        if most > len(self._cell):
            size = max(most, 2 * len(self._cell))
            self._cell = _enlarged(self._cell, self._count, size)
            self._sum = _enlarged(self._sum, self._count, size)
        if 2 * most > len(self._table):
            self._table = np.full(1 << (2 * most).bit_length(), FREE, np.int64)
            _fill(self._table, self._cell, self._count)


def _enlarged(rows: Rows, count: int, size: int) -> Rows:
    larger = np.zeros((size, rows.shape[1]), rows.dtype)
    larger[:count] = rows[:count]
    return larger


@numba.njit(cache=True, nogil=True)
def _place(table: I8, cells: I8, a: int, b: int, c: int) -> int:
    """Where in the table the cube (a, b, c) is, or the free place where it belongs. Its size is a power of
    two; some of its places are free."""
    mask = len(table) - 1
    # large odd numbers spread neighbouring cubes over the table (Teschner et al. 2003, "Optimized Spatial
    # Hashing for Collision Detection of Deformable Objects", has these three)
    mixed = (a * 73856093) ^ (b * 19349663) ^ (c * 83492791)
    place = (mixed ^ (mixed >> 15)) & mask
    while True:
        k = table[place]
        if k == FREE or (cells[k, 0] == a and cells[k, 1] == b and cells[k, 2] == c):
            return place
        place = (place + 1) & mask


@numba.njit(cache=True, nogil=True)
def _fill(table: I8, cells: I8, count: int) -> None:
    for k in range(count):
        table[_place(table, cells, cells[k, 0], cells[k, 1], cells[k, 2])] = k


@numba.njit(cache=True, nogil=True)
def _add(table: I8, cells: I8, sums: F8, count: int, cell: I8, xyz: F8, rgb: U1, centre: F8) -> int:
    """The number of cubes, once each point is added to the sums of its own, in the points' order."""
    for i in range(len(cell)):
        a, b, c = cell[i, 0], cell[i, 1], cell[i, 2]
        place = _place(table, cells, a, b, c)
        k = table[place]
        if k == FREE:
            k = count
            table[place] = k
            cells[k, 0], cells[k, 1], cells[k, 2] = a, b, c
            count += 1
        sums[k, 0] += 1
        for axis in range(3):
            sums[k, 1 + axis] += xyz[i, axis]
            sums[k, 4 + axis] += rgb[i, axis]
            sums[k, 7 + axis] += centre[axis]
    return count
