"""The points of a cloud that the depth maps agree on."""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np

from anyscene.arrays import B1, F4, F8, I4, Floats
from anyscene.project.progress import progress
from anyscene.scene import Frame

TOLERANCE = 0.05  # a share of the distance, more than the noise and drift of a device


def supported(
    xyz: Floats, frames: Sequence[Frame], farthest: float = np.inf, show_progress: bool = False
) -> B1:
    """b1[N]: whether at least as many views see a point as see past it. xyz: [N,3] in metres; all frames have
    depth, of which readings beyond `farthest` metres are none.

    At the edges of things a depth camera mixes near and far, so that points float between the two; other
    views see past them. A view sees a point if one of the 3x3 depth readings around its pixel is within
    TOLERANCE of its distance. It sees past the point if all these readings are farther, which is not so at
    the edge of a thing. Pixels without a reading do not count.
    """
    votes = np.zeros(len(xyz), np.int32)
    with progress("frames compared", len(frames) if show_progress else 0) as advance:
        for frame in frames:
            depth = frame.read_depth()
            assert depth is not None
            depth[depth > farthest] = 0
            height, width = depth.shape
            camera = frame.camera.resized(width, height)
            _vote(votes, xyz, np.linalg.inv(camera.pose), camera.intrinsics, depth, TOLERANCE)
            advance()
    return votes >= 0


@numba.njit(cache=True, nogil=True)
def _vote(votes: I4, xyz: Floats, m: Floats, intrinsics: F8, depth: F4, tolerance: float) -> None:
    """Add 1 to the votes [N] of each point that is seen, and subtract 1 where it is seen past. m: [4, 4],
    world to camera."""
    height, width = depth.shape
    for i in range(len(xyz)):
        a, b, c = np.float64(xyz[i, 0]), np.float64(xyz[i, 1]), np.float64(xyz[i, 2])
        z = m[2, 0] * a + m[2, 1] * b + m[2, 2] * c + m[2, 3]
        if not z > 0:
            continue
        u = (m[0, 0] * a + m[0, 1] * b + m[0, 2] * c + m[0, 3]) * intrinsics[0, 0] / z + intrinsics[0, 2]
        v = (m[1, 0] * a + m[1, 1] * b + m[1, 2] * c + m[1, 3]) * intrinsics[1, 1] / z + intrinsics[1, 2]
        if not (-0.5 <= u < width - 0.5 and -0.5 <= v < height - 0.5):
            continue
        row, column = int(np.rint(v)), int(np.rint(u))
        seen, nearest = False, np.inf
        for r in range(max(row - 1, 0), min(row + 2, height)):
            for q in range(max(column - 1, 0), min(column + 2, width)):
                if depth[r, q] > 0:
                    nearest = min(nearest, depth[r, q])
                    seen |= abs(depth[r, q] - z) <= tolerance * z
        if seen:
            votes[i] += 1
        elif np.isfinite(nearest) and nearest > z:
            votes[i] -= 1
