"""Pictures of a room from above a corner: first which point each pixel shows, then any colours of points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from anyscene.arrays import B1, F4, F8, I4, I8, U1, Floats, Integers
from anyscene.errors import ViewpointError
from anyscene.show.framing import in_frame

ELEVATION = np.radians(48)  # of the eye above the horizon
TRIAL = 2  # how much smaller the pictures are by which the corner is chosen
OVERSAMPLING = 2  # each pixel of a picture is the mean of 2 x 2 subpixels
MARGIN = 0.02  # a share of the picture's width and height
LIGHT = np.array([0.35, 0.25, 0.9]) / np.linalg.norm([0.35, 0.25, 0.9])  # towards the light
NEIGHBOURS = 25  # points whose normals decide together
LARGEST = 12  # the largest radius of a point in subpixels, so that sparse clouds stay dots
NOTHING = -1


@dataclass(frozen=True, eq=False)
class Viewpoint:
    """Which points of a scene are seen, and where."""

    point: I4  # i4[H', W'], the point that each subpixel shows, -1 = none
    shade: F4  # f4[N], how bright each point is

    @property
    def visible(self) -> int:
        """How many points are seen."""
        return len(np.unique(self.point[self.point != NOTHING]))

    def pixels(self, values: Integers, nothing: int = -1) -> Integers:
        """i[H, W]: for each pixel of a picture the one of `values` i[N] that it shows, `nothing` where there
        is no point."""
        point = self.point[::OVERSAMPLING, ::OVERSAMPLING]
        return np.where(point == NOTHING, nothing, values[point])

    def picture(self, rgb: U1, shaded: bool = True) -> U1:
        """u1[H, W, 4]: the picture, transparent where there is no point. rgb: u1[N, 3]; shaded: whether
        points are darker where their surface turns away from the light."""
        colour = rgb * self.shade[:, None] if shaded else rgb.astype(np.float32)
        seen = self.point != NOTHING
        values = np.zeros((*self.point.shape, 4), np.float32)
        values[seen, :3] = colour[self.point[seen]]
        values[seen, 3] = 1
        height, width = (side // OVERSAMPLING for side in self.point.shape)
        values = values.reshape(height, OVERSAMPLING, width, OVERSAMPLING, 4).mean((1, 3))
        values[..., :3] /= np.maximum(values[..., 3:], 1e-6)
        values[..., 3] *= 255
        picture: U1 = np.rint(values).clip(0, 255).astype(np.uint8)
        return picture


class _Surface:
    """Points with their neighbourhoods."""

    neighbour: I8  # i8[N, k], the nearest points of each
    spacing: float  # the median distance of neighbouring points, metres

    def __init__(self, xyz: F4, normal: F4, shown: B1) -> None:
        self.xyz, self.normal, self.shown = xyz, normal, shown
        distance, self.neighbour = cKDTree(xyz).query(xyz, min(NEIGHBOURS, len(xyz)), workers=-1)
        self.neighbour = self.neighbour.reshape(len(xyz), -1)
        self.spacing = float(np.median(distance.reshape(len(xyz), -1)[:, 1:2])) if len(xyz) > 1 else 0.0
        self.spacing = self.spacing or 0.01

    def facing(self, towards_eye: Floats) -> B1:
        """b1[N]: whether a point is seen from the front. The normals around it decide by majority, because
        single ones are noisy. Where normals point anywhere, all points count that do not lie high.
        towards_eye: f[N, 3]."""
        front = np.einsum("nc,nc->n", self.normal, towards_eye) > 0
        if front.mean() > 0.3:
            seen: B1 = front[self.neighbour].mean(1) > 0.5
            return seen
        low, high = np.percentile(self.xyz[self.shown, 2], [0.5, 99.5])
        under: B1 = self.xyz[:, 2] <= low + 0.8 * (high - low)
        return under


def corner_viewpoint(xyz: F4, normal: F4, size: tuple[int, int]) -> Viewpoint:
    """The view from above one of the four corners of a room: the corner from which most points are seen.

    xyz: f4[N, 3], metres, z up; normal: f4[N, 3], towards the inside of the room; size: (width, height) in
    pixels. Surfaces that turn away are left out, such as the ceiling and the near walls, and so are strays
    (`framing.in_frame`). Raises ViewpointError where there are no points.
    """
    if len(xyz) == 0:
        raise ViewpointError("the scene has no points to show")
    shown = in_frame(xyz)
    low, high = np.percentile(xyz[shown], [0.5, 99.5], axis=0)
    half = np.maximum((high - low) / 2, 0.1)
    surface, centre = _Surface(xyz, normal, shown), (low + high) / 2
    corners = [half[:2] * (x, y) for x in (1, -1) for y in (1, -1)]
    small = size[0] // TRIAL, size[1] // TRIAL
    best = max(corners, key=lambda corner: _view(surface, centre, half, corner, small).visible)
    return _view(surface, centre, half, best, size)


def _view(surface: _Surface, centre: F8, half: F8, towards: F8, size: tuple[int, int]) -> Viewpoint:
    """The view from the horizontal direction `towards` [2], from far enough away for a mild perspective."""
    flat = towards / np.linalg.norm(towards)
    away = np.append(np.cos(ELEVATION) * flat, np.sin(ELEVATION))
    eye = centre + 3.5 * np.linalg.norm(half) * away
    right = np.array([-flat[1], flat[0], 0])
    up = np.cross(away, right)
    offset = surface.xyz - eye
    depth = -offset @ away
    across, upward = offset @ right / depth, offset @ up / depth
    kept = np.flatnonzero(surface.facing(-offset) & surface.shown)
    width, height = (side * OVERSAMPLING for side in size)
    x, y, scale = _fit(across[kept], -upward[kept], width, height)
    radius = int(np.clip(round(1.2 * surface.spacing / np.median(depth) * scale), 1, LARGEST))
    nearest = nearest_points(x, y, depth[kept], radius, surface.spacing, (height, width))
    point = np.where(nearest == NOTHING, NOTHING, kept[nearest])
    lit = np.abs(surface.normal @ LIGHT) / np.maximum(np.linalg.norm(surface.normal, axis=1), 1e-6)
    return Viewpoint(point.astype(np.int32), (0.72 + 0.28 * lit).astype(np.float32))


def _fit(across: F8, down: F8, width: int, height: int) -> tuple[F8, F8, float]:
    """Pixel coordinates that fill the picture, and how many pixels a unit has."""
    low, high = np.array([across.min(), down.min()]), np.array([across.max(), down.max()])
    room = np.array([width, height]) * (1 - 2 * MARGIN)
    scale = float((room / np.maximum(high - low, 1e-6)).min())
    origin = np.array([width, height]) / 2 - scale * (low + high) / 2
    return across * scale + origin[0], down * scale + origin[1], scale


def nearest_points(
    x: F8,  # [n], in pixels
    y: F8,  # [n]
    depth: F8,  # [n], metres
    radius: int,  # of the discs, in pixels
    spacing: float,  # how much farther away the edge of a disc is than its centre, metres
    shape: tuple[int, int],  # height and width
) -> I8:
    """i8[H, W]: the nearest point whose disc covers the pixel, -1 = none. Discs recede towards their edges,
    so that of two at the same depth each keeps the pixels that are closer to its centre."""
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
