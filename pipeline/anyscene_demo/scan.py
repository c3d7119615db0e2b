"""Reconstruct a mesh from noisy posed depth by a truncated signed distance volume, as scanning applications
do.

The method is that of Curless and Levoy, "A Volumetric Method for Building Complex Models from Range Images"
(1996), with marching cubes for the surface. Rooms are scanned this way so that the meshes of the demo are
like real ones: they have noise, holes where nobody looked, and one connected surface over floor, walls and
furniture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from skimage.measure import marching_cubes

from anyscene.arrays import F4, F8, I4, I8, U1
from anyscene.scene import Camera


@dataclass(frozen=True)
class Scan:
    """A mesh."""

    xyz: F4  # f4[N, 3], metres
    rgb: U1  # u1[N, 3]
    face: I4  # i4[F, 3], anticlockwise as seen from free space


def reconstruct(
    rgb: Sequence[U1],
    depth: Sequence[F4],
    cameras: Sequence[Camera],
    low: F8,
    high: F8,
    *,
    voxel: float,
    truncation: float = 3.0,
    smallest: int = 200,
) -> Scan:
    """Fuse frames of colour u1[H, W, 3] and depth f4[H, W] (metres, 0 = no reading) inside the box low..high
    f8[3].

    voxel: its side in metres. truncation: of the distance, in voxels. smallest: connected pieces with fewer
    faces are dropped.
    """
    low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
    shape = tuple(int(n) for n in np.ceil((high - low) / voxel) + 1)
    distance = np.zeros(shape, np.float32)
    colour = np.zeros((*shape, 3), np.float32)
    weight = np.zeros(shape, np.float32)
    for image, reading, camera in zip(rgb, depth, cameras, strict=True):
        world_to_camera = np.linalg.inv(camera.pose)
        # voxel index -> homogeneous pixel, in one affine map
        projection = camera.intrinsics @ world_to_camera[:3, :3]
        offset = projection @ low + camera.intrinsics @ world_to_camera[:3, 3]
        _integrate(distance, colour, weight, projection * voxel, offset, image, reading, truncation * voxel)
    observed = weight > 0
    distance[observed] /= weight[observed]
    colour[observed] /= weight[observed][:, None]
    distance[~observed] = 1.0
    if not observed.any() or distance.min() >= 0:
        return Scan(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint8), np.zeros((0, 3), np.int32))

    # scikit-image leaves it without types
    mesh = marching_cubes(distance, 0.0, gradient_direction="descent")  # type: ignore[no-untyped-call]
    vertex, face, _, _ = mesh
    # A vertex lies on the edge between two voxels: it is a measured surface only where both were observed.
    below, above = np.floor(vertex).astype(int), np.ceil(vertex).astype(int)
    measured = observed[tuple(below.T)] & observed[tuple(above.T)]
    vertex, face = _compact(vertex, face[measured[face].all(axis=1)])
    vertex, face = _compact(vertex, face[_component_size(len(vertex), face) >= smallest])

    below, above = np.floor(vertex).astype(int), np.ceil(vertex).astype(int)
    share = (vertex - below).sum(axis=1, keepdims=True)  # of the upper voxel; one coordinate is not whole
    tone = colour[tuple(below.T)] * (1 - share) + colour[tuple(above.T)] * share
    return Scan(
        (low + vertex * voxel).astype(np.float32),
        np.clip(np.rint(tone), 0, 255).astype(np.uint8),
        face.astype(np.int32),
    )


@numba.njit(cache=True)
def _integrate(
    distance: F4,  # [X, Y, Z], added to
    colour: F4,  # [X, Y, Z, 3], added to
    weight: F4,  # [X, Y, Z], added to
    projection: F8,  # [3, 3]
    offset: F8,  # [3]
    image: U1,  # [H, W, 3]
    depth: F4,  # [H, W], metres
    truncation: float,  # metres
) -> None:
    """Add one frame to the volume. `projection` and `offset` take the index of a voxel to a homogeneous
    pixel."""
    height, width = depth.shape
    for i in range(distance.shape[0]):
        for j in range(distance.shape[1]):
            for k in range(distance.shape[2]):
                z = projection[2, 0] * i + projection[2, 1] * j + projection[2, 2] * k + offset[2]
                if z <= 0.05:
                    continue
                u = (projection[0, 0] * i + projection[0, 1] * j + projection[0, 2] * k + offset[0]) / z
                v = (projection[1, 0] * i + projection[1, 1] * j + projection[1, 2] * k + offset[1]) / z
                column, row = int(np.floor(u + 0.5)), int(np.floor(v + 0.5))
                if column < 0 or row < 0 or column >= width or row >= height:
                    continue
                reading = depth[row, column]
                if reading <= 0 or reading - z < -truncation:
                    continue
                # Noise of a depth sensor grows with the square of the distance, so near readings count more.
                trust = np.float32(1.0 / (reading * reading))
                distance[i, j, k] += trust * np.float32(min(1.0, (reading - z) / truncation))
                weight[i, j, k] += trust
                for c in range(3):
                    colour[i, j, k, c] += trust * image[row, column, c]


def _compact(vertex: F4, face: I8) -> tuple[F4, I8]:
    """Drop the vertices that no face uses."""
    used = np.zeros(len(vertex), bool)
    used[face] = True
    return vertex[used], (np.cumsum(used) - 1)[face]


def _component_size(vertices: int, face: I8) -> I8:
    """i8[F]: how many faces the connected piece of each face has."""
    start, end = face[:, [0, 1]].ravel(), face[:, [1, 2]].ravel()
    graph = coo_array((np.ones(len(start), bool), (start, end)), shape=(vertices, vertices))
    _, component = connected_components(graph, directed=False)
    owner = component[face[:, 0]]
    return np.bincount(owner, minlength=1)[owner] if len(face) else np.zeros(0, np.int64)
