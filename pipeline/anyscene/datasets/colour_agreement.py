"""How far the images of a scan agree on the colours of what they see.

A point looks alike from everywhere but for shine and exposure, which a correlation does not feel: over the
points that two frames see, each with its own mean. In a right scan it is high. Where images are mirrored,
turned, those of other frames, or where poses or mesh are of another world, points get the colours of others.

What frames see of a point is told by their depth maps, or without these by a mesh. Two frames from one place
agree however their images are turned, so that pairs count of which the images of points lie apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from anyscene.arrays import B1, F8, U1, Floats, Integers
from anyscene.datasets.agreement import DepthFrame, Sample
from anyscene.datasets.readings import Change
from anyscene.datasets.seen_by_frames import nearest, pixels, spacing
from anyscene.errors import DataError
from anyscene.scene import Camera

WIDTH = 160  # pixels of an image: finer ones differ where depth or poses are a little off
ASKED = 8  # frames of a scan with depth: beyond, the correlation hardly changes
LOOKING = 16  # frames of a scan without depth
POINTS = 6000  # of a mesh
FEW, COARSE = 6, 4  # frames, and of so many points one, to compare readings by the colours of a mesh
AMONG, FINER = 16, 2  # the same among images: pairs that see the same are few
COMMON = 16  # points that two frames see, of which a correlation tells anything
APART = 0.1  # of an image: by so much points lie elsewhere in the other of two frames
PAIRS = 3  # of frames, at least, where there is no mesh to compare with
ENOUGH = 200  # points of all pairs: of fewer nothing can be said
SPREAD = 8.0  # levels of 255 by which colours vary: below, noise is what differs
PATCHES = (8, 6)  # of an image, along and down, by which it is told how much of it a mesh fills
LITTLE = 0.05  # of an image: a frame of which a mesh fills less does not see it
AS_READ = Change()
SEED = 0

Places = F8  # f8[K, P, 2]: where in the images of K frames P points are, in 0..1; NaN where they are not seen

# Ways to misread images, by what makes them right.
WAYS: Mapping[str, Callable[[Places], Places]] = {
    "mirrored": lambda places: np.stack([1 - places[..., 0], places[..., 1]], -1),
    "upside down": lambda places: np.stack([places[..., 0], 1 - places[..., 1]], -1),
    "turned by 180 degrees": lambda places: 1 - places,
}
AGREES = 0.6  # a correlation of right images; docs/notes/readings.md has measurements
FARTHEST = 12  # frames by which images may be off


class ColourFrame(DepthFrame, Protocol):
    """A frame whose image can be looked at."""

    def thumbnail(self, width: int) -> U1:
        """u1[h, w, 3]: the image, so many pixels wide. Raises DataError where it cannot be read."""
        ...


@dataclass(frozen=True)
class Compared:
    """How far images agree, as they are read and in the other way in which they agree best: correlations in
    -1..1."""

    value: float
    best: float
    way: str  # in words: images that are this


def of_images(taken: Sample, frames: Sequence[ColourFrame]) -> Compared | None:
    """How far the images agree; None where they do not tell, because hardly two of them see the same from
    different places, or nothing has a colour of its own.

    taken: of these frames. An image that cannot be read says nothing."""
    places = taken.places()
    at = _asked(places)
    if len(at) < 2:
        return None
    places = places[at]
    order = {frame.id: k for k, frame in enumerate(frames)}
    index = [order[taken.ids[k]] for k in at]
    read: dict[int, U1 | None] = {}

    def images(step: int) -> list[U1 | None]:
        which = [(one + step) % len(frames) for one in index]
        read.update({k: _thumbnail(frames[k]) for k in set(which) - read.keys()})
        return [read[k] for k in which]

    told = _pairs(places)
    now = correlation(places, images(0), told=told)
    if now is None:
        return None
    found = {way: correlation(places, images(0), change, told) for way, change in WAYS.items()}
    found |= _of_others(now, lambda step: correlation(places, images(step), told=told))
    best, way = max((value, way) for way, value in found.items() if value is not None)
    return Compared(now, best, way)


def _of_others(now: float, agree: Callable[[int], float | None]) -> dict[str, float | None]:
    """How far frames agree with images so many frames later or before, in words: those beside them, and those
    farther off as long as that is better, or nothing has agreed yet. agree: says so of a number of frames."""
    found: dict[str, float | None] = {}
    for sign, side in ((1, "later"), (-1, "before")):
        last = now
        for step in range(1, FARTHEST + 1):
            value = agree(sign * step)
            found[f"those of {step} frame{'s' if step > 1 else ''} {side}"] = value
            if value is None or (value <= last and max(now, last) >= AGREES):
                break
            last = max(value, last)
    return found


def correlation(
    places: Places,
    images: Sequence[U1 | None],
    change: Callable[[Places], Places] = lambda places: places,
    told: B1 | None = None,
) -> float | None:
    """-1..1: the correlation of the colours of points in K images u1[h, w, 3], over all pairs of frames that
    tell (`_pairs`), each with its own means. None where these are fewer than PAIRS, or colours vary by less
    than SPREAD.

    change: of where points are in the images, once it is known which frames see them. told: `_pairs`, where
    they are known."""
    return _pooled(_colours(change(places), images), _pairs(places) if told is None else told, PAIRS)


@dataclass(frozen=True, eq=False)
class Painted:
    """Points of a mesh with colours, and frames without depth that may see them."""

    xyz: F8  # f8[P, 3]
    rgb: F8 | None  # f8[P, 3]; None where the mesh has no colours of its own
    apart: float  # the distance of neighbours among the points
    cameras: tuple[Camera, ...]  # K
    images: tuple[U1 | None, ...]  # u1[h, w, 3] each; None where it cannot be read

    def some(self) -> Painted:
        """A part of the points and of the frames, for a coarse look at many readings."""
        few, coarse = (AMONG, FINER) if self.rgb is None else (FEW, COARSE)
        frames, points = slice(None, None, -(-len(self.images) // few)), slice(None, None, coarse)
        rgb = None if self.rgb is None else self.rgb[points]
        apart = self.apart * np.sqrt(coarse)  # of neighbours on a surface
        return Painted(self.xyz[points], rgb, apart, self.cameras[frames], self.images[frames])

    def seen(self, change: Change = AS_READ, turn: F8 | None = None) -> tuple[float | None, F8]:
        """(-1..1: the correlation of colours, once cameras are changed and points turned by `turn` f8[3, 3],
        None where it is not told; f8[K]: how much of each image the points fill, in 0..1)."""
        xyz = self.xyz if turn is None else self.xyz @ turn.T
        poses = change.poses(np.array([camera.pose for camera in self.cameras]))
        places = np.full((len(poses), len(xyz), 2), np.nan)
        filled = np.zeros(len(poses))
        for k, camera in enumerate(self.cameras):
            here = Camera(camera.intrinsics, poses[k], camera.width, camera.height)
            index, u, v, z = pixels(xyz, here)
            there = nearest(here, u, v, z, self.apart)
            share = np.stack([u / max(camera.width - 1, 1), v / max(camera.height - 1, 1)], 1)[there]
            places[k, index[there]] = share = np.clip(share, 0, 1)
            patch = np.minimum(share * PATCHES, np.array(PATCHES) - 1).astype(np.int64)
            filled[k] = len(np.unique(patch @ [1, PATCHES[0]])) / (PATCHES[0] * PATCHES[1])
        colours = _colours(places, self.images)
        if self.rgb is None:
            return _pooled(colours, _pairs(places), PAIRS), filled
        everywhere = np.concatenate([colours, self.rgb[None]])
        told = np.zeros((len(poses) + 1,) * 2, bool)
        told[:-1, -1] = told[-1, :-1] = np.isfinite(colours[..., 0]).sum(1) >= COMMON
        return _pooled(everywhere, told, 1), filled


def painted(xyz: Floats, face: Integers, rgb: U1 | None, frames: Sequence[ColourFrame]) -> Painted | None:
    """Some points of a mesh [N, 3] with faces i[F, 3], as many on each as it is large, or some of a cloud;
    and some of the frames, evenly chosen. rgb: u1[N, 3]. None where there are no frames."""
    if not frames or not len(xyz):
        return None
    rng = np.random.default_rng(SEED)
    corner = xyz[face].astype(np.float64)
    area = np.linalg.norm(np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]), axis=1)
    if area.sum() > 0:
        at = rng.choice(len(face), POINTS, p=area / area.sum())
        share = rng.dirichlet((1.0, 1.0, 1.0), POINTS)
        points = np.einsum("pc,pcd->pd", share, corner[at])
        colours = None if rgb is None else np.einsum("pc,pcd->pd", share, rgb[face[at]].astype(np.float64))
    else:
        some = np.linspace(0, len(xyz) - 1, min(len(xyz), POINTS)).astype(np.int64)
        points, colours = xyz[some].astype(np.float64), None if rgb is None else rgb[some].astype(np.float64)
    which = np.unique(np.linspace(0, len(frames) - 1, min(len(frames), LOOKING)).astype(np.int64))
    chosen = [frames[k] for k in which]
    images = tuple(_thumbnail(frame) for frame in chosen)
    apart = spacing(points.astype(np.float32))
    return Painted(points, colours, apart, tuple(frame.camera for frame in chosen), images)


def _thumbnail(frame: ColourFrame) -> U1 | None:
    try:
        return frame.thumbnail(WIDTH)
    except DataError:
        return None


def _asked(places: Places) -> Integers:
    """i[k]: the frames, at most ASKED, that can be compared with most others, in their order."""
    partners = _pairs(places).sum(1)
    best = np.argsort(-partners, kind="stable")[:ASKED]
    return np.sort(best[partners[best] > 0])


def _pairs(places: Places) -> B1:
    """b1[K, K]: which frames see COMMON of the same points, APART from where they are in the other's
    image."""
    seen = np.isfinite(places[..., 0]).astype(np.float64)
    common = seen @ seen.T
    square = np.zeros_like(common)
    for axis in range(2):
        at = np.nan_to_num(places[..., axis])
        square += (at**2) @ seen.T + seen @ (at**2).T - 2 * at @ at.T
    moved = np.sqrt(np.maximum(square, 0) / np.maximum(common, 1))
    told: B1 = (common >= COMMON) & (moved >= APART) & ~np.eye(len(places), dtype=bool)
    return told


def _colours(places: Places, images: Sequence[U1 | None]) -> F8:
    """f8[K, P, 3]: the colours of points in the images that see them, else NaN."""
    colours = np.full((*places.shape[:2], 3), np.nan)
    for k, image in enumerate(images):
        if image is None:
            continue
        there = np.flatnonzero(np.isfinite(places[k, :, 0]))
        size = np.array([image.shape[1], image.shape[0]]) - 1
        column, row = np.rint(places[k, there] * size).astype(np.int64).T
        colours[k, there] = image[row, column]
    return colours


def _pooled(colours: F8, told: B1, least: int) -> float | None:
    """-1..1: the correlation over the pairs b1[V, V] of the colours f8[V, P, 3] that V views give to points;
    None for fewer pairs, or where colours hardly vary."""
    seen = np.isfinite(colours[..., 0]).astype(np.float64)
    count = np.maximum(seen @ seen.T, 1)
    if np.count_nonzero(told) < 2 * least or count[told].sum() < 2 * ENOUGH:
        return None
    together, alone = np.zeros_like(count), np.zeros_like(count)
    for channel in range(3):
        value = np.nan_to_num(colours[..., channel])
        total = value @ seen.T
        together += value @ value.T - total * total.T / count
        alone += (value**2) @ seen.T - total**2 / count
    alone = np.maximum(alone, 0)
    spread = np.sqrt(alone[told].sum() / (3 * count[told].sum()))
    both = float(np.sqrt(alone * alone.T)[told].sum())
    return float(together[told].sum()) / both if spread >= SPREAD and both > 0 else None
