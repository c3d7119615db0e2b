"""Pictures of a room from above a corner: which point each pixel shows, then any colours of the points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from anyscene.errors import ViewpointError

ELEVATION = np.radians(48)
TRIAL = 2  # how much smaller the pictures are that the corner is chosen by
OVERSAMPLING = 2  # each pixel of a picture is the mean of 2 x 2
MARGIN = 0.02  # of the picture's width and height
LIGHT = np.array([0.35, 0.25, 0.9]) / np.linalg.norm([0.35, 0.25, 0.9])
NEIGHBOURS = 25
LARGEST = 12  # subpixels that a point may reach: sparse clouds stay dots
NOTHING = -1


@dataclass(frozen=True, eq=False)
class Viewpoint:
    """point: i4[H', W'], the point seen in each subpixel, -1 = none; shade: f4[N], how lit each point is."""

    point: np.ndarray
    shade: np.ndarray

    @property
    def visible(self) -> int:
        """Number of points that are seen."""
        return len(np.unique(self.point[self.point != NOTHING]))

    def pixels(self, values: np.ndarray, nothing: int = -1) -> np.ndarray:
        """[H, W]: of `values` [N] those that a picture's pixels show, `nothing` where there is no point."""
        point = self.point[::OVERSAMPLING, ::OVERSAMPLING]
        return np.where(point == NOTHING, nothing, values[point])

    def picture(self, rgb: np.ndarray, shaded: bool = True) -> np.ndarray:
        """u1[H, W, 4], transparent where there is no point; rgb: u1[N, 3]; `shaded` by surface direction."""
        colour = rgb * self.shade[:, None] if shaded else rgb.astype(np.float32)
        seen = self.point != NOTHING
        values = np.zeros((*self.point.shape, 4), np.float32)
        values[seen, :3] = colour[self.point[seen]]
        values[seen, 3] = 1
        height, width = (side // OVERSAMPLING for side in self.point.shape)
        values = values.reshape(height, OVERSAMPLING, width, OVERSAMPLING, 4).mean((1, 3))
        values[..., :3] /= np.maximum(values[..., 3:], 1e-6)
        values[..., 3] *= 255
        return np.rint(values).clip(0, 255).astype(np.uint8)


class _Surface:
    """Points with neighbourhoods: neighbour i8[N, k], and metres between neighbours, typically."""

    def __init__(self, xyz: np.ndarray, normal: np.ndarray) -> None:
        self.xyz, self.normal = xyz, normal
        distance, self.neighbour = cKDTree(xyz).query(xyz, min(NEIGHBOURS, len(xyz)), workers=-1)
        self.neighbour = self.neighbour.reshape(len(xyz), -1)
        self.spacing = float(np.median(distance.reshape(len(xyz), -1)[:, 1:2])) if len(xyz) > 1 else 0.0
        self.spacing = self.spacing or 0.01

    def facing(self, towards_eye: np.ndarray) -> np.ndarray:
        """b1[N]: seen from the front, as the normals around a point say by majority: single ones are noisy.
        Where normals say nothing, all but what lies high."""
        front = np.einsum("nc,nc->n", self.normal, towards_eye) > 0
        if front.mean() > 0.3:
            return front[self.neighbour].mean(1) > 0.5
        low, high = np.percentile(self.xyz[:, 2], [0.5, 99.5])
        return self.xyz[:, 2] <= low + 0.8 * (high - low)


def corner_viewpoint(xyz: np.ndarray, normal: np.ndarray, size: tuple[int, int]) -> Viewpoint:
    """The room from above that one of its four corners from which most points are seen.

    xyz: f4[N,3] metres, z up; normal: f4[N,3], towards the inside of the room; size: (width, height).
    Surfaces turned away are left out: the ceiling and the near walls. Raises ViewError for no points.
    """
    if len(xyz) == 0:
        raise ViewpointError("the scene has no points to show")
    low, high = np.percentile(xyz, [0.5, 99.5], axis=0)
    half = np.maximum((high - low) / 2, 0.1)
    surface, centre = _Surface(xyz, normal), (low + high) / 2
    corners = [half[:2] * (x, y) for x in (1, -1) for y in (1, -1)]
    small = size[0] // TRIAL, size[1] // TRIAL
    best = max(corners, key=lambda corner: _view(surface, centre, half, corner, small).visible)
    return _view(surface, centre, half, best, size)


def _view(surface: _Surface, centre, half, towards, size) -> Viewpoint:
    """From the direction `towards` [2], far enough for a mild perspective."""
    flat = towards / np.linalg.norm(towards)
    away = np.append(np.cos(ELEVATION) * flat, np.sin(ELEVATION))
    eye = centre + 3.5 * np.linalg.norm(half) * away
    right = np.array([-flat[1], flat[0], 0])
    up = np.cross(away, right)
    offset = surface.xyz - eye
    depth = -offset @ away
    across, upward = offset @ right / depth, offset @ up / depth
    kept = np.flatnonzero(surface.facing(-offset))
    width, height = (side * OVERSAMPLING for side in size)
    x, y, scale = _fit(across[kept], -upward[kept], width, height)
    radius = int(np.clip(round(1.2 * surface.spacing / np.median(depth) * scale), 1, LARGEST))
    nearest = nearest_points(x, y, depth[kept], radius, surface.spacing, (height, width))
    point = np.where(nearest == NOTHING, NOTHING, kept[nearest])
    lit = np.abs(surface.normal @ LIGHT) / np.maximum(np.linalg.norm(surface.normal, axis=1), 1e-6)
    return Viewpoint(point.astype(np.int32), (0.72 + 0.28 * lit).astype(np.float32))


def _fit(across, down, width, height):
    """Pixel coordinates that fill the picture, and pixels per unit."""
    low, high = np.array([across.min(), down.min()]), np.array([across.max(), down.max()])
    room = np.array([width, height]) * (1 - 2 * MARGIN)
    scale = float((room / np.maximum(high - low, 1e-6)).min())
    origin = np.array([width, height]) / 2 - scale * (low + high) / 2
    return across * scale + origin[0], down * scale + origin[1], scale


def nearest_points(x, y, depth, radius, spacing, shape) -> np.ndarray:
    """i8[H, W]: the nearest point whose disc covers the pixel. Discs recede towards their edge, so that of
    two at the same depth each keeps the pixels closer to its centre."""
    height, width = shape
    closest = np.full(height * width, np.inf, np.float32)
    covered = []
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            if dx * dx + dy * dy > (radius + 0.5) ** 2:
                continue
            column, row = np.rint(x).astype(np.int64) + dx, np.rint(y).astype(np.int64) + dy
            inside = (0 <= column) & (column < width) & (0 <= row) & (row < height)
            pixel = np.where(inside, row * width + column, 0)
            recede = np.hypot(column - x, row - y) / radius * spacing
            value = np.where(inside, depth + recede, np.inf).astype(np.float32)
            np.minimum.at(closest, pixel, value)
            covered.append((pixel, value))
    found = np.full(height * width, NOTHING, np.int64)
    for pixel, value in covered:
        wins = np.flatnonzero((value == closest[pixel]) & np.isfinite(value))
        found[pixel[wins]] = wins
    return found.reshape(shape)
