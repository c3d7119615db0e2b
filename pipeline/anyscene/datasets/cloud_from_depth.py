"""A point cloud from posed depth maps, for scans without a mesh."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from anyscene.arrays import F4, F8, U1
from anyscene.datasets.geometry.normals import NEIGHBOURS, point_normals
from anyscene.errors import DataError
from anyscene.project.progress import progress
from anyscene.scene import Frame


def from_frames(
    frames: Sequence[Frame], voxel: float, farthest: float = np.inf, show_progress: bool = False
) -> tuple[F4, U1, F4]:
    """(xyz f4[N,3] in metres, rgb u1[N,3], normal f4[N,3]): the cloud of all depth pixels of `frames` up to
    `farthest` metres, averaged in cubes of `voxel` metres.

    Points that more views see past than see are left out (`depth_votes.supported`). A normal is that of the
    plane through the neighbours of a point, turned towards the cameras that saw it. Raises DataError where
    the depth maps have hardly any readings, or contradict each other.
    """
    # only here, because numba takes a second to import
    from anyscene.datasets.depth_votes import supported
    from anyscene.datasets.voxel_means import VoxelMeans

    cubes = VoxelMeans(voxel)
    with progress("frames read", len(frames) if show_progress else 0) as advance:
        for frame in frames:
            cubes.add(*back_project(frame, farthest), frame.camera.pose[:3, 3])
            advance()
    if len(cubes) <= NEIGHBOURS:
        raise DataError(f"{_folder(frames)}: hardly any depth readings; check depth_scale, or add mesh.ply")
    mean = cubes.means()
    points = mean[:, :3].astype(np.float32)
    kept = supported(points, frames, farthest, show_progress)
    if np.count_nonzero(kept) <= NEIGHBOURS:
        raise DataError(
            f"{_folder(frames)}: the depth maps contradict each other; check the poses and depth_scale"
        )
    points, mean = points[kept], mean[kept]
    return points, np.rint(mean[:, 3:6]).astype(np.uint8), point_normals(points, mean[:, 6:])


def _folder(frames: Sequence[Frame]) -> Path:
    depth = frames[0].depth if frames else None
    return Path("depth") if depth is None else depth.parent


def back_project(frame: Frame, farthest: float = np.inf) -> tuple[F8, U1]:
    """(xyz f8[P,3] in the world, metres, rgb u1[P,3]) of the pixels that have a depth reading, up to
    `farthest` metres. The frame has depth."""
    depth = frame.read_depth()
    assert depth is not None
    height, width = depth.shape
    rgb = frame.read_color((width, height))
    intrinsics = frame.camera.resized(width, height).intrinsics
    row, column = np.nonzero((depth > 0) & (depth <= farthest))
    z = depth[row, column].astype(np.float64)
    x = (column - intrinsics[0, 2]) / intrinsics[0, 0] * z
    y = (row - intrinsics[1, 2]) / intrinsics[1, 1] * z
    pose = frame.camera.pose
    return np.stack([x, y, z], 1) @ pose[:3, :3].T + pose[:3, 3], rgb[row, column]
