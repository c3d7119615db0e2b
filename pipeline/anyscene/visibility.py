"""Which points a camera sees, and at which pixels (method.md §2)."""

from __future__ import annotations

import numba
import numpy as np

from anyscene.errors import ProjectionError
from anyscene.scene import Camera


def visible_pixels(
    xyz: np.ndarray, camera: Camera, depth: np.ndarray | None = None, *, tolerance: float, border: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The points that a camera sees, and the pixel of each.

    xyz: f4|f8[N, 3] world, metres; depth: f4|f8[H, W] metres, 0 = no reading, or None for no occlusion test.
    A point is seen where z > 0, its pixel (rounded, halves to even) lies at least `border` pixels inside the
    image, and |depth - z| <= tolerance * depth. With tolerance < 1, the set that OpenScene's
    PointCloudToImageMapper finds.
    Returns (point i8[V] ascending, row i4[V], column i4[V]).
    Raises ProjectionError where depth has another size than the camera.
    """
    tested = depth is not None
    if not tested:
        depth = np.empty((0, 0), np.float32)
    elif depth.shape != (camera.height, camera.width):
        raise ProjectionError(
            f"depth is {depth.shape[1]}x{depth.shape[0]}, the image {camera.width}x{camera.height}: "
            "resize one of them"
        )
    return _visible(
        np.ascontiguousarray(xyz),
        np.linalg.inv(camera.pose),
        camera.intrinsics,
        camera.width,
        camera.height,
        np.ascontiguousarray(depth),
        tested,
        depth.dtype.type(tolerance),  # the product has the precision of depth
        border,
    )


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _visible(xyz, m, intrinsics, width, height, depth, tested, tolerance, border):
    """`m` [4, 4] takes world to camera; in double precision, whatever xyz has."""
    point = np.empty(len(xyz), np.int64)
    row, column = np.empty(len(xyz), np.int32), np.empty(len(xyz), np.int32)
    seen = 0
    for i in range(len(xyz)):
        x, y, z = np.float64(xyz[i, 0]), np.float64(xyz[i, 1]), np.float64(xyz[i, 2])
        ahead = m[2, 0] * x + m[2, 1] * y + m[2, 2] * z + m[2, 3]
        if not ahead > 0:
            continue
        u = (m[0, 0] * x + m[0, 1] * y + m[0, 2] * z + m[0, 3]) * intrinsics[0, 0] / ahead + intrinsics[0, 2]
        v = (m[1, 0] * x + m[1, 1] * y + m[1, 2] * z + m[1, 3]) * intrinsics[1, 1] / ahead + intrinsics[1, 2]
        u, v = np.rint(u), np.rint(v)
        if not (border <= u < width - border and border <= v < height - border):
            continue
        r, c = np.int32(v), np.int32(u)
        if tested and not abs(depth[r, c] - ahead) <= tolerance * depth[r, c]:
            continue
        point[seen], row[seen], column[seen] = i, r, c
        seen += 1
    return point[:seen].copy(), row[:seen].copy(), column[:seen].copy()
