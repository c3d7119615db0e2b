"""From points to voxels and back."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from anyscene.arrays import F4, I4, I8, Array
from anyscene.errors import CoordinatesError

FARTHEST = 1 << 19  # voxels from the origin; the cells of a wider box are too many for 63 bits


@dataclass(frozen=True, eq=False)
class Voxels:
    """The V voxels that N points occupy."""

    coordinates: I4  # i4[V, 3], distinct
    point: I8  # i8[V], the first point in each voxel
    voxel: I8  # i8[N], the voxel of each point

    def mean(self, values: Array) -> F4:  # [N, C] -> f4[V, C]
        """The mean of `values` over the points of each voxel."""
        return _mean(np.ascontiguousarray(values), self.voxel, len(self.point))


def voxelise(xyz: F4, size: float) -> Voxels:  # [N, 3]
    """The voxels of points, cubes of `size` metres of which one has its lowest corner at the origin. They are
    sorted by z, then y, then x. Raises CoordinatesError for a point that lies FARTHEST of them off."""
    if not np.abs(xyz).max(initial=0) / size < FARTHEST:  # this refuses NaN too
        far = int(np.abs(np.nan_to_num(xyz, nan=np.inf)).max(1).argmax())
        raise CoordinatesError(
            f"point {far} at {xyz[far].tolist()} m lies too far off for voxels of {size:g} m; leave it out"
        )
    cells = np.floor(xyz / size).astype(np.int64)
    corner = cells.min(0) if len(cells) else np.zeros(3, np.int64)
    x, y, z = (cells - corner).T
    width, depth = (int(n) + 1 for n in ((cells - corner).max(0)[:2] if len(cells) else (0, 0)))
    _, point, voxel = np.unique((z * depth + y) * width + x, return_index=True, return_inverse=True)
    return Voxels(cells[point].astype(np.int32), point, voxel.reshape(-1))


@numba.njit(cache=True, nogil=True)
def _mean(values: Array, voxel: I8, count: int) -> F4:
    total = np.zeros((count, values.shape[1]), np.float32)
    size = np.zeros(count, np.float32)
    for i in range(len(values)):
        size[voxel[i]] += 1
        for c in range(values.shape[1]):
            total[voxel[i], c] += values[i, c]
    for v in range(count):
        for c in range(values.shape[1]):
            total[v, c] /= size[v]
    return total
