"""Superpoints that belong together, ranked by how well a text describes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from anyscene.arrays import B1, F4, F8, I4, I8, Floats, Integers
from anyscene.lifting.places import distinct

NEIGHBOURS = 6  # nearest points that touch where there is no mesh
VOXEL = 0.05  # metres, the side of the cells by which area is measured where there is no mesh
LOOK = 0.2  # square metres that count as one look; chosen on the first two sets of docs/notes/queries.md
FACES = 1 << 16  # faces that are measured at a time, which takes a few MB
TINY = 1e-9  # square metres, the area of points that have no face
TOP = 5  # groups that a text finds
DECIMALS = 3  # of a score that is shown
ORDER = "Not in the order of the scores: little surface scores high by chance, so it stands further down."
ALWAYS = "A text always finds something: a score does not tell whether the thing is there"


class Unit(StrEnum):
    """What is ranked: single superpoints, or those joined that touch and show the same class."""

    object = "object"
    superpoint = "superpoint"


Place = tuple[float, float, float]  # x, y, z


@dataclass(frozen=True)
class Match:
    """A group of superpoints that a text found."""

    superpoints: tuple[int, ...]  # that it consists of
    score: float  # the mean of the scores of its points
    points: int  # how many it has
    area: float  # square metres
    centre: Place  # the mean of its points, metres
    extent: Place  # of its points along x, y, z, metres
    box: tuple[Place, Place]  # their lowest and highest x, y, z


def decimals(place: Sequence[float], count: int) -> str:
    """`place` in metres with `count` decimals, such as "1.20 -0.35 0.00". What rounds to zero has no sign."""
    return " ".join(f"{round(value, count) + 0.0:.{count}f}" for value in place)


def touching(superpoint: I4, xyz: F4, face: I4) -> I8:
    """i8[E, 2]: pairs a < b of superpoints that share an edge of the mesh, or a place; where there are no
    faces, pairs of which one has a place among the nearest of a place of the other. superpoint: i4[N]; xyz:
    f4[N, 3]; face: i4[F, 3]."""
    first, place = distinct(xyz)
    edges = [(superpoint, superpoint[first][place])]
    if len(face):
        corner = superpoint[face]
        edges += [(corner[:, a], corner[:, b]) for a, b in ((0, 1), (1, 2), (2, 0))]
    else:
        from scipy.spatial import cKDTree  # only here: `anyscene query` looks at its path before

        xyz, there = xyz[first], superpoint[first]
        _, near = cKDTree(xyz).query(xyz, min(NEIGHBOURS + 1, len(xyz)))
        near = near.reshape(len(xyz), -1)
        edges.append((np.repeat(there, near.shape[1]), there[near.ravel()]))
    apart = [np.stack([one[one != other], other[one != other]], 1) for one, other in edges]
    return np.unique(np.sort(np.concatenate(apart).astype(np.int64), axis=1), axis=0)


def objects(shown: I8, pair: I8) -> I4:
    """i4[L]: the group of each superpoint. Superpoints that touch and show the same class are one group.

    shown: i8[L], the class that each superpoint shows, -1 without a feature; such superpoints stay alone.
    pair: i8[E, 2], as `touching` returns it.
    """
    from scipy.sparse import coo_matrix  # only here: `anyscene query` looks at its path before
    from scipy.sparse.csgraph import connected_components

    one, other = pair.T
    same = (shown[one] == shown[other]) & (shown[one] >= 0)
    graph = coo_matrix((np.ones(same.sum(), bool), (one[same], other[same])), (len(shown), len(shown)))
    group: I4 = connected_components(graph, directed=False)[1]
    return group


def areas(superpoint: I4, xyz: F4, face: I4) -> F8:
    """f8[L]: the area of each superpoint in square metres. Each corner of a triangle counts for a third of
    it. Where there are no faces, each cell of a grid counts for VOXEL squared, which the points in it share.
    Unlike a number of points, the area hardly depends on their density. superpoint: i4[N]; xyz: f4[N, 3];
    face: i4[F, 3]."""
    count = int(superpoint.max(initial=-1)) + 1
    if len(face):
        area: F8 = np.zeros(count)
        for block in np.array_split(face, -(-len(face) // FACES)):
            start, *ends = (xyz[column].astype(np.float64) for column in block.T)
            third = np.linalg.norm(np.cross(*(end - start for end in ends)), axis=1) / 6
            area += sum(np.bincount(superpoint[column], third, count) for column in block.T)
        return area
    cell = np.floor((xyz - xyz.min(0, initial=np.inf)) / VOXEL).astype(np.int64)
    number = np.ravel_multi_index(tuple(cell.T), tuple(cell.max(0, initial=0) + 1))
    _, number, shared_by = np.unique(number, return_inverse=True, return_counts=True)
    return np.asarray(np.bincount(superpoint, VOXEL**2 / shared_by[number], count), np.float64)


def by_superpoint(score: F4, left_out: B1, superpoint: I4, superpoints: int) -> tuple[F8, I8, F8]:
    """Three values of each superpoint: the mean f8[L] of its points' scores, NaN where none has one; how many
    points have one, i8[L]; the share of these that is left out, f8[L]. score: f4[N], NaN where there is none;
    left_out: b1[N]; superpoint: i4[N]."""
    known = np.isfinite(score)
    count = np.bincount(superpoint[known], minlength=superpoints)
    total = np.bincount(superpoint[known], score[known], superpoints)
    out = np.bincount(superpoint[known & left_out], minlength=superpoints)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan), count, out / np.maximum(count, 1)


def ranked(
    score: Floats,  # [L], the mean of each superpoint's points that have one, NaN where none has
    count: I8,  # [L], how many these are
    out: F8,  # [L], the share of these that is left out
    deviation: float,
    superpoint: Integers,  # [N]
    group: Integers,  # [L]
    area: F8,  # [L]
    xyz: F4,  # [N, 3]
    top: int,
) -> list[Match]:
    """The `top` groups that a text describes best, best first. Groups of which half or more is left out are
    not among them.

    The score of a group is the mean over its points that have one. A mean over little surface is high or low
    by chance, so groups are ordered by the mean minus its standard error. For this, each LOOK of the group's
    area counts as one independent draw from all scores of the scene, of which `deviation` is the standard
    deviation. So a sliver comes before a larger group only where its mean is clearly higher.
    """
    superpoint = superpoint.astype(np.intp, copy=False)
    points = np.bincount(superpoint, minlength=len(group))
    total: F8 = np.multiply(count, np.where(count > 0, score, 0))
    surface = area * count / np.maximum(points, 1)  # of what has a score
    size, total, out, surface = (
        np.asarray(np.bincount(group, each), np.float64) for each in (count, total, count * out, surface)
    )
    there, mean = np.flatnonzero((size > 0) & (2 * out < size)), total / np.maximum(size, 1)
    bound = mean - deviation * np.sqrt(LOOK / np.maximum(surface, TINY))
    best = there[np.argsort(-bound[there], kind="stable")[:top]]
    rank = np.full(len(size), len(best))
    rank[best] = np.arange(len(best))
    member, parts = (_by_rank(each, len(best)) for each in (rank[group][superpoint], rank[group]))
    return [
        _match(part, float(mean[index]), area, xyz[of_part])
        for index, part, of_part in zip(best, parts, member, strict=True)
    ]


def _by_rank(rank: I8, count: int) -> list[I8]:
    """The indices of each rank 0..count-1. rank: i8[n], `count` where there is none."""
    ranked = np.flatnonzero(rank < count)
    ranked = ranked[np.argsort(rank[ranked], kind="stable")]
    return np.split(ranked, np.searchsorted(rank[ranked], np.arange(1, count)))[:count]


def _match(superpoints: I8, score: float, area: F8, xyz: F4) -> Match:
    surface = float(area[superpoints].sum())
    return Match(tuple(superpoints.tolist()), score, len(xyz), surface, *_place(xyz))


def placed(match: Match, xyz: Floats) -> Match:
    """The match with the centre, the extent and the box of its points in another world, f4|f8[points, 3]."""
    centre, extent, box = _place(xyz)
    return replace(match, centre=centre, extent=extent, box=box)


def _place(xyz: Floats) -> tuple[Place, Place, tuple[Place, Place]]:
    column = np.ascontiguousarray(xyz.T)  # NumPy takes 40 times as long along the short axis
    low, high = column.min(1), column.max(1)
    centre, extent, lowest, highest = (
        tuple(each.tolist()) for each in (column.mean(1), high - low, low, high)
    )
    return centre, extent, (lowest, highest)
