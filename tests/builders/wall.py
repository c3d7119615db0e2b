"""Views ray by ray, without any code of the importers under test, for captures in the forms of several tools:
a wall at y = 2 m whose colour says where on it a pixel looks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anyscene.datasets import cloud_from_depth

WIDTH, HEIGHT, FOCAL = 96, 64, 80.0
CENTRE = (47.0, 33.5)  # the middle of the first pixel is (0.5, 0.5)
SPAN = 4.0  # metres that the colours 0..255 stand for
ORIGIN = np.array([-1.5, 0.0, -1.5])  # where they begin: red along x, blue along z
DISTORTION = {"k1": -0.2, "k2": 0.05, "p1": 0.01, "p2": -0.008}


@dataclass(frozen=True, eq=False)
class View:
    """A pixel-true view: rgb u1[H,W,3], depth f8[h,w] in metres, pose f8[4,4] camera to world, OpenGL axes, z
    up; focal length and centre of the image in pixels, the middle of the first pixel at (0.5, 0.5)."""

    rgb: np.ndarray
    depth: np.ndarray
    pose: np.ndarray
    focal: tuple[float, float] = (FOCAL, FOCAL)
    centre: tuple[float, float] = CENTRE


def views(poses, size=(WIDTH, HEIGHT), distortion=None, depth_size=None, fisheye=None) -> list[View]:
    """The wall from `poses`, at `size`; depth at `depth_size`, None: as colour; fisheye: k1..k4 of one."""
    factor = size[0] / WIDTH, size[1] / HEIGHT
    focal, centre = (FOCAL * factor[0], FOCAL * factor[1]), (CENTRE[0] * factor[0], CENTRE[1] * factor[1])
    return [
        View(
            render(pose, size, distortion, fisheye)[0],
            render(pose, depth_size or size, distortion, fisheye)[1],
            pose,
            focal,
            centre,
        )
        for pose in poses
    ]


def rolled(quarters: int = 0, yaw: float = 15.0) -> np.ndarray:
    """f8[4,4]: a camera at (0.5, 0, 0.5) that looks along +y, OpenGL axes, turned about the vertical by `yaw`
    degrees and about its own axis by quarter turns."""
    level = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # x right, y up, z back
    a, b = np.radians(yaw), np.radians(90.0 * quarters)
    about = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    roll = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    pose = np.eye(4)
    pose[:3, :3] = about @ level @ roll
    pose[:3, 3] = 0.5, 0, 0.5
    return pose


def render(
    pose: np.ndarray, size=(WIDTH, HEIGHT), distortion=None, fisheye=None
) -> tuple[np.ndarray, np.ndarray]:
    """(rgb u1[H,W,3], depth f8[H,W] in metres) of the wall, at `size` of the same field of view."""
    factor = np.array(size) / (WIDTH, HEIGHT)
    u, v = np.meshgrid((np.arange(size[0]) + 0.5) / factor[0], (np.arange(size[1]) + 0.5) / factor[1])
    seen = np.stack([(u - CENTRE[0]) / FOCAL, (v - CENTRE[1]) / FOCAL], -1)
    plain = seen.copy() if fisheye is None else unbent(seen, fisheye)
    for _ in range(
        60 if fisheye is None else 0
    ):  # of the fixed point: what is seen here is at `plain` without distortion
        plain = seen - (_distorted(plain, **(distortion or {})) - plain)
    ray = np.stack([plain[..., 0], -plain[..., 1], -np.ones_like(u)], -1) @ pose[:3, :3].T
    depth = (2.0 - pose[1, 3]) / ray[..., 1]
    where = (pose[:3, 3] + depth[..., None] * ray - ORIGIN) / SPAN
    rgb = np.stack([where[..., 0], np.full(u.shape, 0.5), where[..., 2]], -1)
    return np.rint(255 * np.clip(rgb, 0, 1)).astype(np.uint8), depth


def unbent(seen: np.ndarray, k: tuple[float, ...]) -> np.ndarray:
    """The rays that a fisheye of k1..k4 shows at `seen`, by a table of angles."""
    angle = np.linspace(0, 1.5, 100_000)
    bent = angle + k[0] * angle**3 + k[1] * angle**5 + k[2] * angle**7 + k[3] * angle**9
    length = np.linalg.norm(seen, axis=-1, keepdims=True)
    return seen * np.tan(np.interp(length, bent, angle)) / np.maximum(length, 1e-12)


def _distorted(xy: np.ndarray, k1=0.0, k2=0.0, p1=0.0, p2=0.0) -> np.ndarray:
    x, y = xy[..., 0], xy[..., 1]
    r = x**2 + y**2
    radial = k1 * r + k2 * r**2
    return np.stack(
        [
            x + x * radial + 2 * p1 * x * y + p2 * (r + 2 * x**2),
            y + y * radial + 2 * p2 * x * y + p1 * (r + 2 * y**2),
        ],
        -1,
    )


def wall_of(rgb: np.ndarray) -> np.ndarray:
    """f8[..., 2]: x and z that colours say."""
    return rgb[..., [0, 2]] / 255.0 * SPAN + ORIGIN[[0, 2]]


def check_on_wall(frame, depth=0.003, place=0.006, drop=0, world=None):
    """The depth of each pixel lies on the wall, at the place that its colour names, in the mean over the
    pixels: a shift of half a pixel is 13 mm. world: f8[4,4], what the true world became, None: itself"""
    xyz, rgb = cloud_from_depth.back_project(frame)
    if world is not None:
        xyz = np.linalg.solve(world[:3, :3], (xyz - world[:3, 3]).T).T
    assert len(xyz) >= (1 - drop) * frame.read_depth().size
    off = xyz[:, [0, 2]] - wall_of(rgb)
    seen = rgb[:, [0, 2]]
    inside = ((seen > 10) & (seen < 245)).all(1)  # not beyond the colours, nor an image's edge
    assert inside.mean() > 0.8
    assert np.abs(off[inside].mean(0)).max() < place and np.abs(off[inside]).mean() < 0.02
    assert abs((xyz[:, 1] - 2).mean()) < depth and np.abs(xyz[:, 1] - 2).mean() < 0.01
