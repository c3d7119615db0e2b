"""How far the depth maps of a scan agree: with each other, and with its surface.

Of what one frame measures, other frames confirm a part, see past a part, and have something before the rest.
In a right scan hardly anything is seen past: if a surface is there, then no ray goes through it. Where units,
poses or axes are read wrongly, as much is seen past as is hidden, and little is confirmed.

Pairs of frames are a sample, whose size does not grow with the scan. They have to overlap if the scan is read
rightly. If it is not, neither the distances of its cameras nor where they look say which do. But the angle
that a camera turned between two frames is the same under all readings, as is the order of the frames. So
a frame stands with those after it that have turned by some degrees, and with its neighbours in space, once as
the poses are and once as their inverses are.

One frame among right ones, whose depth or pose is that of another, hardly changes the sum. It is told by what
each pair of frames makes of each other, and of a scan that is not large all frames are asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from anyscene.arrays import B1, F4, F8, I8, Floats, Integers
from anyscene.datasets.readings import Change
from anyscene.scene import Camera

TOLERANCE = 0.05  # a share of the distance, more than the noise and drift of a device
FRAMES = (16, 48)  # of a sample: a quarter of the scan's, within these bounds
PIXELS = 128  # of a frame
POINTS = 2048  # of a surface
WHOLE = 64  # frames of a scan of which each is looked at
PAIR = 16  # points that nothing hides between two frames; fewer say nothing of them
TURNS = (np.radians(12), np.radians(25))  # between frames that still overlap, at 45 degrees and more of view
AS_READ = Change()
SEED = 0


class DepthFrame(Protocol):
    """A frame whose depth can be read."""

    @property
    def id(self) -> str:
        """By which a person knows it; no other of its scan has the same."""
        ...

    @property
    def camera(self) -> Camera:
        """Of the colour image, to which depth is registered."""
        ...

    def read_depth(self) -> F4 | None:
        """f4[H, W]: metres, 0 = no reading; None where there is no depth. Raises DataError."""
        ...


@dataclass(frozen=True)
class Agreement:
    """How many measured points other frames confirm, see past, or have something before."""

    confirmed: int
    past: int
    hidden: int
    asked: int  # so many might have been seen: points, times the frames that might

    def __add__(self, other: Agreement) -> Agreement:
        return Agreement(
            self.confirmed + other.confirmed,
            self.past + other.past,
            self.hidden + other.hidden,
            self.asked + other.asked,
        )

    @property
    def covered(self) -> int:
        """How many lay in front of another camera, where it has a reading."""
        return self.confirmed + self.past + self.hidden

    @property
    def open(self) -> int:
        """How many of these nothing hides."""
        return self.confirmed + self.past

    @property
    def share(self) -> float:
        """0..1: what is confirmed, of what is covered."""
        return self.confirmed / max(self.covered, 1)

    @property
    def contradiction(self) -> float:
        """0..1: the share that is seen past, of what no other thing hides; 0 where there is nothing."""
        return self.past / max(self.open, 1)

    def shares(self) -> dict[str, float]:
        """Each part of what is covered in 0..1, with four decimals."""
        parts = {"agree": self.confirmed, "seen_past": self.past, "hidden": self.hidden}
        return {name: round(count / max(self.covered, 1), 4) for name, count in parts.items()}

    def __str__(self) -> str:
        return in_words(self.shares())


NONE = Agreement(0, 0, 0, 0)


def in_words(shares: Mapping[str, float]) -> str:
    """`Agreement.shares` as a person reads them."""
    agree, past, hidden = (100 * shares[name] for name in ("agree", "seen_past", "hidden"))
    return f"agree {agree:.1f} %, seen past {past:.1f} %, hidden {hidden:.1f} %"


@dataclass(frozen=True, eq=False)
class Sample:
    """The depth maps of K frames, and P pixels of each."""

    ids: tuple[str, ...]
    poses: F8  # f8[K, 4, 4], camera to world
    intrinsics: F8  # f8[K, 3, 3], of the depth maps
    depth: tuple[F4, ...]  # f4[H, W] each, metres
    ray: F8  # f8[K, P, 3], camera axes: from the camera through a pixel to where z is 1
    metres: F8  # f8[K, P], depth of these pixels

    @property
    def median(self) -> float:
        """Of the depth of its pixels, metres."""
        return float(np.median(self.metres))

    def of(self, kept: B1) -> Sample | None:
        """The sample of those frames b1[K] alone; None where they are fewer than two."""
        if np.count_nonzero(kept) < 2:
            return None
        some = np.flatnonzero(kept)
        ids, depth = tuple(self.ids[k] for k in some), tuple(self.depth[k] for k in some)
        return Sample(ids, self.poses[kept], self.intrinsics[kept], depth, self.ray[kept], self.metres[kept])

    def points(self, change: Change = AS_READ, every: int = 1) -> F8:
        """f8[K, P, 3]: where in the world the pixels measure something, once cameras and depth are changed.
        every: of so many pixels one is taken."""
        poses, ray = change.poses(self.poses), self.ray[:, ::every] / [change.focal, change.focal, 1]
        z = self.metres[:, ::every] * change.depth * np.linalg.norm(ray, axis=2) ** change.along
        xyz: F8 = (ray * z[..., None]) @ poses[:, :3, :3].transpose(0, 2, 1) + poses[:, None, :3, 3]
        return xyz

    def frames(self, change: Change = AS_READ, every: int = 1) -> Agreement:
        """How far the frames agree with each other, once cameras and depth are changed. every: of so many
        pixels one is taken."""
        poses, xyz = change.poses(self.poses), self.points(change, every)
        others = ~np.eye(len(poses), dtype=bool)
        return sum((self._seen(k, poses[k], xyz[others[k]], change) for k in range(len(poses))), NONE)

    def surface(self, xyz: Floats, change: Change = AS_READ) -> Agreement:
        """How far the frames confirm the points [N, 3] of a surface in the world."""
        points, poses = xyz.astype(np.float64), change.poses(self.poses)
        return sum((self._seen(k, poses[k], points, change) for k in range(len(poses))), NONE)

    def places(self) -> F8:
        """f8[K, K * P, 2]: where in the images of frames its points are (`points`), from 0 in the middle of
        the first pixel to 1 in the middle of the last, along and down; NaN where a frame does not confirm
        one."""
        xyz = self.points().reshape(-1, 3)
        places = np.full((len(self.poses), len(xyz), 2), np.nan)
        for k, pose in enumerate(self.poses):
            which, beyond = self._beyond(k, pose, xyz, AS_READ)
            which = which[np.abs(beyond) <= TOLERANCE]
            x, y, z = ((xyz[which] - pose[:3, 3]) @ pose[:3, :3]).T
            (fx, _, cx), (_, fy, cy), _ = self.intrinsics[k]
            height, width = self.depth[k].shape
            at = np.stack([(x / z * fx + cx) / max(width - 1, 1), (y / z * fy + cy) / max(height - 1, 1)], 1)
            places[k, which] = np.clip(at, 0, 1)
        return places

    def pairs(self) -> Pairs:
        """What each two frames make of each other."""
        xyz, count = self.points(), len(self.poses)
        confirmed, past = np.zeros((2, count, count))
        for k, pose in enumerate(self.poses):
            which, beyond = self._beyond(k, pose, xyz, AS_READ)
            other = which // xyz.shape[1]
            past[k] = np.bincount(other[beyond > TOLERANCE], minlength=count)
            confirmed[k] = np.bincount(other[np.abs(beyond) <= TOLERANCE], minlength=count)
        apart = ~np.eye(count, dtype=bool)
        return Pairs((confirmed + confirmed.T) * apart, (past + past.T) * apart)

    def _seen(self, k: int, pose: F8, xyz: F8, change: Change) -> Agreement:
        """What frame k makes of points [..., 3] in the world, if `pose` is its pose."""
        _, beyond = self._beyond(k, pose, xyz, change)
        past, hidden = (int(np.count_nonzero(sign * beyond > TOLERANCE)) for sign in (1, -1))
        return Agreement(len(beyond) - past - hidden, past, hidden, xyz.size // 3)

    def _beyond(self, k: int, pose: F8, xyz: F8, change: Change) -> tuple[I8, F8]:
        """(i8[M]: which of the points [..., 3] in the world frame k has a reading at, if `pose` is its pose;
        f8[M]: how far beyond each this lies, a share of the distance)."""
        depth, matrix = self.depth[k], self.intrinsics[k] * _lens(change.focal)
        height, width = depth.shape
        x, y, z = ((xyz.reshape(-1, 3) - pose[:3, 3]) @ pose[:3, :3]).T
        with np.errstate(divide="ignore", invalid="ignore"):  # for points in the camera's plane
            column = np.rint(x / z * matrix[0, 0] + matrix[0, 2])
            row = np.rint(y / z * matrix[1, 1] + matrix[1, 2])
        inside = np.flatnonzero((z > 0) & (column >= 0) & (column < width) & (row >= 0) & (row < height))
        column, row, z = column[inside], row[inside], z[inside]
        found = depth[row.astype(np.int64), column.astype(np.int64)].astype(np.float64)
        if change.along:
            found *= _length(row, column, matrix) ** change.along
        read = found > 0
        return inside[read], found[read] * change.depth / z[read] - 1


@dataclass(frozen=True, eq=False)
class Pairs:
    """How many points of each other K frames confirm, and see past: symmetric, 0 of a frame with itself."""

    confirmed: F8  # f8[K, K]
    past: F8  # f8[K, K]

    def contradictions(self) -> F8:
        """f8[K, K]: the contradiction of each two frames, in 0..1; NaN where that can be said of fewer points
        than PAIR."""
        asked = self.confirmed + self.past
        return np.divide(self.past, asked, out=np.full_like(asked, np.nan), where=asked >= PAIR)

    def part(self) -> B1:
        """b1[K]: the frames of the largest part, in which each has PAIR points in common with another that
        confirm each other, from one to the next."""
        from scipy.sparse.csgraph import connected_components  # only here: readers are imported to check

        _, label = connected_components(self.confirmed >= PAIR, directed=False)
        largest: B1 = label == np.bincount(label).argmax()
        return largest

    def without(self, frames: Iterable[int]) -> Pairs:
        """As if these frames saw nothing of the others."""
        kept = np.ones(len(self.past), bool)
        kept[list(frames)] = False
        both = kept[:, None] & kept
        return Pairs(self.confirmed * both, self.past * both)

    def within(self, first: int, end: int) -> Pairs:
        """As if the frames from `first` to before `end` and the others saw nothing of each other."""
        part = (np.arange(len(self.past)) >= first) & (np.arange(len(self.past)) < end)
        same = part[:, None] == part
        return Pairs(self.confirmed * same, self.past * same)

    def parted(self, least: int, points: int) -> tuple[int, int, float, float] | None:
        """(first frame, end, contradiction of these with the others, contradiction among these or among the
        others, whichever is larger): those frames in a row for which the number of points at which they
        contradict the rest is most above what it would be if they did as each part does itself. None where no
        part of at least `least` frames can be compared in so many `points`."""
        count = len(self.past)
        first, end = (
            one.ravel() for one in np.meshgrid(np.arange(count), np.arange(count + 1), indexing="ij")
        )
        fits = (end - first >= least) & (count - (end - first) >= least)
        first, end = first[fits], end[fits]
        past, asked = (_of_parts(one, first, end) for one in (self.past, self.past + self.confirmed))
        told = (asked >= points).all(0)
        if not told.any():
            return None
        inside, across, outside = past / np.maximum(asked, 1)
        among = np.maximum(inside, outside)
        worst = int(np.argmax(np.where(told, past[1] - among * asked[1], -np.inf)))
        return int(first[worst]), int(end[worst]), float(across[worst]), float(among[worst])


def _of_parts(pairs: F8, first: I8, end: I8) -> F8:
    """f8[3, B], of symmetric numbers f8[K, K] and parts from `first` to before `end`: the sum within a part,
    between it and the rest, and within the rest; each pair once."""
    total = np.zeros((len(pairs) + 1,) * 2)
    total[1:, 1:] = pairs.cumsum(0).cumsum(1)
    inside = total[end, end] - total[first, end] - total[end, first] + total[first, first]
    across = total[end, -1] - total[first, -1] - inside
    return np.array([inside / 2, across, (total[-1, -1] - inside - 2 * across) / 2])


def sample(frames: Sequence[DepthFrame]) -> Sample | None:
    """Some of the frames, with depth and some pixels of each; None where fewer than two have any readings.

    Raises DataError where a depth map cannot be read."""
    taken = _read(frames, chosen(np.array([frame.camera.pose for frame in frames]).reshape(-1, 4, 4)))
    return taken if len(taken.ids) >= 2 else None


def completed(taken: Sample, frames: Sequence[DepthFrame]) -> Sample:
    """A sample of the frames with all others that have readings, in their order, where they are at most
    WHOLE; else the sample, because to read all depth maps takes long. Raises DataError where one cannot be
    read."""
    if len(frames) > WHOLE:
        return taken
    there = set(taken.ids)
    more = _read(frames, [k for k, frame in enumerate(frames) if frame.id not in there])
    ids, depth = taken.ids + more.ids, taken.depth + more.depth
    place = {frame.id: k for k, frame in enumerate(frames)}
    order = sorted(range(len(ids)), key=lambda k: place[ids[k]])
    return Sample(
        tuple(ids[k] for k in order),
        np.concatenate([taken.poses, more.poses])[order],
        np.concatenate([taken.intrinsics, more.intrinsics])[order],
        tuple(depth[k] for k in order),
        np.concatenate([taken.ray, more.ray])[order],
        np.concatenate([taken.metres, more.metres])[order],
    )


def _read(frames: Sequence[DepthFrame], which: Iterable[int]) -> Sample:
    """Those frames that have readings, and some pixels of each."""
    rng = np.random.default_rng(SEED)
    ids, poses, intrinsics, maps, rays, metres = [], [], [], [], [], []
    for k in which:
        depth = frames[k].read_depth()
        if depth is None or not len(readings := np.flatnonzero(depth > 0)):
            continue
        height, width = depth.shape
        matrix = frames[k].camera.resized(width, height).intrinsics
        row, column = np.divmod(readings[rng.integers(0, len(readings), PIXELS)], width)
        ids.append(frames[k].id)
        rays.append(_ray(row, column, matrix))
        metres.append(depth[row, column].astype(np.float64))
        poses.append(frames[k].camera.pose)
        intrinsics.append(matrix)
        maps.append(depth)
    return Sample(
        tuple(ids),
        np.array(poses).reshape(-1, 4, 4),
        np.array(intrinsics).reshape(-1, 3, 3),
        tuple(maps),
        np.array(rays).reshape(-1, PIXELS, 3),
        np.array(metres).reshape(-1, PIXELS),
    )


def points_of(xyz: Floats, face: Integers) -> Floats:
    """[P, 3]: some of the points [N, 3] of a surface with faces i[F, 3], evenly spread over the order in
    which they are stored; where faces span few points, as the walls of a modelled room do, others on these
    faces too, so many on each as it is large."""
    if len(xyz) >= POINTS or not len(face):
        return xyz[np.linspace(0, len(xyz) - 1, min(len(xyz), POINTS)).astype(np.int64)]
    corner = xyz[face].astype(np.float64)
    one, other = corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]
    share = np.cumsum(np.linalg.norm(np.cross(one, other), axis=1))
    if share[-1] == 0:
        return xyz
    rng = np.random.default_rng(SEED)
    at = np.searchsorted(share, share[-1] * rng.random(POINTS - len(xyz)))
    u, v = rng.random((2, len(at), 1))
    u, v = np.where(u + v > 1, 1 - u, u), np.where(u + v > 1, 1 - v, v)
    between = corner[at, 0] + u * one[at] + v * other[at]
    return np.concatenate([xyz, between.astype(xyz.dtype)])


def chosen(poses: F8) -> I8:
    """The indices, in their order, of some of the N frames with poses f8[N, 4, 4], among which many pairs
    overlap, however the poses are meant. At most as many as FRAMES says."""
    count = len(poses)
    most = min(max(FRAMES[0], count // 4), FRAMES[1])
    if count <= most:
        return np.arange(count, dtype=np.int64)
    centres = [one[:, :3, 3] for one in (poses, np.linalg.inv(poses))]
    anchors = np.linspace(0, count - 1, most // (1 + len(TURNS) + len(centres))).astype(np.int64)
    found = set(anchors.tolist())
    for anchor in anchors:
        cosine = (np.einsum("nij,ij->n", poses[:, :3, :3], poses[anchor, :3, :3]) - 1) / 2
        turned = np.arccos(np.clip(cosine, -1, 1))
        for least in TURNS:
            found.add(_next(turned >= least, anchor, count // (2 * len(anchors))))
        overlapping = (turned >= TURNS[0]) & (turned <= 2 * TURNS[1])
        for centre in centres:
            distance = np.linalg.norm(centre - centre[anchor], axis=1)
            found.add(int(np.argmin(np.where(overlapping, distance, np.inf))))
    return np.array(sorted(found))


def _next(fits: B1, anchor: int, gap: int) -> int:
    """The first frame after `anchor` that fits, or the last before it; where there is none, that after a gap
    of so many."""
    after, before = np.flatnonzero(fits[anchor:]), np.flatnonzero(fits[:anchor])
    if len(after):
        return int(anchor + after[0])
    return int(before[-1]) if len(before) else int(min(anchor + gap, len(fits) - 1))


def _lens(focal: float) -> F8:
    """f8[3, 3]: by what intrinsics are multiplied, so that their focal lengths are `focal` times as long."""
    return np.array([[focal, 1, 1], [1, focal, 1], [1, 1, 1]])


def _ray(row: Floats | I8, column: Floats | I8, intrinsics: F8) -> F8:
    """f8[P, 3]: from the camera through pixels, to where z is 1."""
    x = (column - intrinsics[0, 2]) / intrinsics[0, 0]
    y = (row - intrinsics[1, 2]) / intrinsics[1, 1]
    return np.stack([x, y, np.ones_like(x)], -1)


def _length(row: Floats, column: Floats, intrinsics: F8) -> F8:
    length: F8 = np.linalg.norm(_ray(row, column, intrinsics), axis=-1)
    return length
