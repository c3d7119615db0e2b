"""Multi-view features as OpenScene's scripts collect them: every view works on arrays of all points."""

import numpy as np
import torch

from anyscene.scene import Camera


def seen(
    xyz: np.ndarray, camera: Camera, depth: np.ndarray | None, tolerance: float, border: int
) -> tuple[np.ndarray, np.ndarray]:
    """(mask b1[N], pixel i8[2, N] (column, row), 0 where not seen), by homogeneous coordinates in float64."""
    homogeneous = np.vstack([xyz.T.astype(np.float64), np.ones(len(xyz))])
    x, y, z, _ = np.linalg.inv(camera.pose) @ homogeneous
    k = camera.intrinsics
    with np.errstate(all="ignore"):
        pixel = np.stack([x * k[0, 0] / z + k[0, 2], y * k[1, 1] / z + k[1, 2]])
        pixel = np.where(np.isfinite(pixel), np.round(pixel), -1e9).astype(np.int64)
    size = np.array([[camera.width], [camera.height]])
    mask = ((pixel >= border) & (pixel < size - border)).all(0) & (z > 0)
    if depth is not None:
        measured = depth[tuple(pixel[::-1, mask])]
        mask[mask] = np.abs(measured - z[mask]) <= tolerance * measured
    return mask, np.where(mask, pixel, 0)


def accumulate(
    total: torch.Tensor, count: torch.Tensor, mask: np.ndarray, pixel: np.ndarray, feature: torch.Tensor
) -> None:
    """Read `feature` [C, H, W] for all N points. Of those that are seen, add it to total f4[N, C] and count
    f4[N, 1]."""
    mask, (column, row) = torch.from_numpy(mask), torch.from_numpy(pixel)
    gathered = feature[:, row, column].T
    count[mask] += 1
    total[mask] += gathered[mask]
