"""A room of 4 x 3 x 2.5 m with a block in it, whose colours say where a point is: red x/4, green y/3, blue
z/2.5."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

SIZE = np.array([4.0, 3.0, 2.5])
BLOCK = np.array([[1.5, 1.1, 0.0], [2.5, 1.9, 0.5]])
WIDTH, HEIGHT, FOCAL = 96, 72, 58.0


def colour(xyz: np.ndarray) -> np.ndarray:
    """u1[N, 3] of points [N, 3]."""
    return np.rint(255 * np.clip(xyz / SIZE, 0, 1)).astype(np.uint8)


def mesh(step: float) -> tuple[np.ndarray, np.ndarray]:
    """(xyz f8[N, 3], face i4[F, 3]): the sides of room and block as grids of `step` metres, each vertex
    once."""
    x, y, z = np.diag(SIZE)
    low, (a, b, c) = BLOCK[0], np.diag(BLOCK[1] - BLOCK[0])
    sides = [(0 * x, x, y), (z, y, x), (0 * x, z, x), (y, x, z), (0 * x, y, z), (x, z, y)]
    sides += [(low + c, a, b), (low, a, c), (low + b, c, a), (low, c, b), (low + a, b, c)]
    points, quads, count = [], [], 0
    for corner, one, two in sides:
        m, n = (round(np.linalg.norm(side) / step) + 1 for side in (one, two))
        s, t = np.meshgrid(np.linspace(0, 1, m), np.linspace(0, 1, n))
        points.append(corner + s.reshape(-1, 1) * one + t.reshape(-1, 1) * two)
        first = (np.arange(n - 1)[:, None] * m + np.arange(m - 1)).ravel() + count
        quads.append(np.stack([first, first + 1, first + m + 1, first + m], 1))
        count += m * n
    every, quad = np.concatenate(points), np.concatenate(quads)
    _, first, inverse = np.unique(np.round(every, 6), axis=0, return_index=True, return_inverse=True)
    quad = inverse.ravel()[quad]
    return every[first], np.concatenate([quad[:, [0, 1, 2]], quad[:, [0, 2, 3]]]).astype(np.int32)


def soup(xyz: np.ndarray, face: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same mesh with the vertices of each triangle of its own."""
    return xyz[face.ravel()], np.arange(face.size, dtype=np.int32).reshape(-1, 3)


def plane(xyz: np.ndarray) -> np.ndarray:
    """i8[N]: the side of the room or the block that each point lies in, 0 where it is not clear."""
    inside = ((xyz > BLOCK[0] - 0.01) & (xyz < BLOCK[1] + 0.01)).all(1)
    near = [np.abs(xyz[:, axis] - end) < 0.01 for axis in range(3) for end in (0, SIZE[axis])]
    near = [one & ~(inside & (xyz[:, 2] > 0.01)) for one in near]
    near += [inside & (np.abs(xyz[:, axis] - end) < 0.01) for axis in range(3) for end in BLOCK[:, axis]]
    sides = np.stack(near, 1)
    return np.where(sides.sum(1) == 1, sides.argmax(1) + 1, 0)


def camera(index: int, count: int) -> np.ndarray:
    """f8[4, 4]: camera to world, OpenCV axes: one of `count` round a circle, looking across it and down."""
    turn, down = 2 * np.pi * index / count, np.radians(15.0)
    ahead = np.array([-np.cos(turn) * np.cos(down), -np.sin(turn) * np.cos(down), -np.sin(down)])
    right = np.cross(ahead, [0, 0, 1.0])
    pose = np.eye(4)
    pose[:3, 0] = right / np.linalg.norm(right)
    pose[:3, 2] = ahead
    pose[:3, 1] = np.cross(ahead, pose[:3, 0])
    pose[:3, 3] = 2 + 0.9 * np.cos(turn), 1.5 + 0.9 * np.sin(turn), 1.6
    return pose


def write_scan(folder: Path, frames: int = 8, depth: bool = True) -> Path:
    """Views of the room in the rgbd form, without mesh.ply; depth in millimetres."""
    for name in ("color", "pose", *(("depth",) if depth else ())):
        (folder / name).mkdir(parents=True)
    size = WIDTH, HEIGHT
    middle = (WIDTH - 1) / 2, (HEIGHT - 1) / 2
    matrix = np.array([[FOCAL, 0, middle[0]], [0, FOCAL, middle[1]], [0, 0, 1]])
    np.savetxt(folder / "intrinsics.txt", matrix)
    for index in range(frames):
        pose = camera(index, frames)
        shown, metres = rendered(pose, matrix, size)
        Image.fromarray(shown).save(folder / "color" / f"{index}.png")
        np.savetxt(folder / "pose" / f"{index}.txt", pose)
        if depth:
            Image.fromarray(millimetres(metres)).save(folder / "depth" / f"{index}.png")
    return folder


def rendered(pose: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """(colour u1[H, W, 3], depth f8[H, W] in metres): room and block as a camera at `pose` [4, 4] sees them,
    with the intrinsics `matrix` [3, 3] and images of `size` (width, height)."""
    u, v = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    across, down = (u - matrix[0, 2]) / matrix[0, 0], (v - matrix[1, 2]) / matrix[1, 1]
    pixel = np.stack([across, down, np.ones(u.shape)], -1)
    ray, eye = pixel @ pose[:3, :3].T, pose[:3, 3]
    with np.errstate(divide="ignore", invalid="ignore"):
        away = np.where(ray > 0, (SIZE - eye) / ray, -eye / ray).min(-1)
        ends = (BLOCK[0] - eye) / ray, (BLOCK[1] - eye) / ray
    near, far = np.minimum(*ends).max(-1), np.maximum(*ends).min(-1)
    away = np.where((near < far) & (near > 0), np.minimum(near, away), away)
    return colour(eye + away[..., None] * ray), away


def millimetres(metres: np.ndarray) -> np.ndarray:
    """u2[H, W] of depth in metres."""
    return np.rint(1000 * metres).astype(np.uint16)
