"""Meshes and cameras for the benchmarks. Rooms look as if scanned: they are iso-surfaces of noisy fields."""

import numpy as np
from scipy.ndimage import gaussian_filter
from skimage.measure import marching_cubes

from anyscene.scene import Camera


def room(vertices: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(xyz f4[N, 3], face i4[F, 3]) of a furnished room, 6 m x 5 m x 2.7 m, with about so many vertices."""
    rng = np.random.default_rng(seed)
    size = np.array([6.0, 5.0, 2.7])
    voxel = 0.035 * np.sqrt(168_000 / vertices)
    axes = [np.arange(-3 * voxel, side + 3 * voxel, voxel, np.float32) for side in size]
    x = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
    field = _box(x, size / 2, size / 2)  # negative inside
    for _ in range(14):
        half = rng.uniform([0.2, 0.2, 0.1], [0.9, 0.6, 0.8])
        centre = np.array([*rng.uniform(half[:2], size[:2] - half[:2]), half[2]])
        field = np.maximum(field, -_box(x, centre, half))
    field += 0.4 * voxel * gaussian_filter(rng.standard_normal(field.shape, np.float32), 1)
    xyz, face, _, _ = marching_cubes(field, 0.0)
    return (xyz * voxel - 3 * voxel).astype(np.float32), face.astype(np.int32)


def _box(x: np.ndarray, centre: np.ndarray, half: np.ndarray) -> np.ndarray:
    """The signed distance f4[...] of points x [..., 3] from a box."""
    q = np.abs(x - centre.astype(np.float32)) - half.astype(np.float32)
    return np.linalg.norm(np.maximum(q, 0), axis=-1) + np.minimum(q.max(-1), 0)


def sheet(rows: int, columns: int, noise: float, step: float = 0.0, seed: int = 0):
    """A stepped height field. `step` quantises heights, so many edges have exactly the same weight."""
    x, y = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    z = (x // 30) * 0.3 + noise * np.random.default_rng(seed).standard_normal(x.shape)
    z = np.round(z / step) * step if step else z
    xyz = np.stack([0.02 * x, 0.02 * y, z], -1).reshape(-1, 3).astype(np.float32)
    i = np.arange(rows * columns, dtype=np.int32).reshape(rows, columns)
    a, b, c, d = (part.ravel() for part in (i[:-1, :-1], i[1:, :-1], i[1:, 1:], i[:-1, 1:]))
    return xyz, np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])


def damaged(vertices: int, seed: int = 0):
    """A room with duplicate, flipped, collapsed and random faces and coincident vertices, in random order."""
    rng = np.random.default_rng(seed)
    xyz, face = room(vertices, seed)
    twice = face[rng.integers(0, len(face), 2000)]
    wild = rng.integers(0, len(xyz), (300, 3), np.int32)
    wild[:100, 1] = wild[:100, 0]
    wild[100:150] = wild[100:150, :1]
    thin = face[rng.integers(0, len(face), 300)]
    xyz[thin[:, 2]] = xyz[thin[:, 0]]
    return xyz, rng.permutation(np.concatenate([face, twice, twice[:500, [1, 0, 2]], wild, thin]))


def orbit(views: int, width: int = 320, height: int = 240) -> list[Camera]:
    """Cameras in the middle of a room that look around it, with ScanNet's intrinsics at this size."""
    cameras = []
    for angle in np.linspace(0, 2 * np.pi, views, endpoint=False):
        forward = np.array([np.cos(angle), np.sin(angle), -0.25])
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, [0, 0, 1])
        right /= np.linalg.norm(right)
        pose = np.eye(4)
        pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], 1)
        pose[:3, 3] = [3 + np.cos(2 * angle), 2.5 + np.sin(3 * angle), 1.5]
        focal = 577.870605
        intrinsics = np.array([[focal, 0, 319.5], [0, focal, 239.5], [0, 0, 1]])
        cameras.append(Camera(intrinsics, pose, 640, 480).resized(width, height))
    return cameras


def depth_of(xyz: np.ndarray, camera: Camera) -> np.ndarray:
    """f4[H, W]: the depth of the nearest point in every pixel, 0 if there is none."""
    from benchmarks.speed.peers.projection import seen

    mask, (column, row) = seen(xyz, camera, None, 0, 0)
    ahead = (xyz[mask] - camera.pose[:3, 3]) @ camera.pose[:3, 2]
    depth = np.full((camera.height, camera.width), np.inf, np.float32)
    np.minimum.at(depth, (row[mask], column[mask]), ahead)
    return np.where(np.isinf(depth), 0, depth)
