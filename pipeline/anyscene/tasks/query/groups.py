"""Superpoints that belong together, ranked by how well a text means them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

NEIGHBOURS = 6  # by which superpoints touch where there is no mesh
VOXEL = 0.05  # metres, side of the cells by which area is measured where there is no mesh
LOOK = 0.2  # square metres that count as one look; chosen by docs/notes/queries.md, first two sets
FACES = 1 << 16  # measured at a time: a few MB
TINY = 1e-9  # square metres, of points without a face


@dataclass(frozen=True)
class Match:
    """A group of superpoints that a text found."""

    superpoints: tuple[int, ...]
    score: float  # the mean of its points'
    points: int  # how many it has
    area: float  # square metres
    centre: tuple[float, float, float]  # the mean of its points, metres
    extent: tuple[float, float, float]  # of its points along x, y, z, metres


def decimals(place: Sequence[float], count: int) -> str:
    """Metres to show, such as "1.20 -0.35 0.00": what rounds to nothing has no sign."""
    return " ".join(f"{round(value, count) + 0.0:.{count}f}" for value in place)


def touching(superpoint: np.ndarray, xyz: np.ndarray, face: np.ndarray) -> np.ndarray:
    """i8[E, 2]: pairs a < b of superpoints that share an edge of the mesh, or, without faces, that are among
    each other's nearest points. superpoint: i4[N], xyz: f4[N, 3], face: i4[F, 3]."""
    if len(face):
        corner = superpoint[face]
        edges = [(corner[:, a], corner[:, b]) for a, b in ((0, 1), (1, 2), (2, 0))]
    else:
        _, near = cKDTree(xyz).query(xyz, min(NEIGHBOURS + 1, len(xyz)))
        near = near.reshape(len(xyz), -1)
        edges = [(np.repeat(superpoint, near.shape[1]), superpoint[near.ravel()])]
    apart = [np.stack([one[one != other], other[one != other]], 1) for one, other in edges]
    return np.unique(np.sort(np.concatenate(apart).astype(np.int64), axis=1), axis=0)


def objects(shown: np.ndarray, pair: np.ndarray) -> np.ndarray:
    """i4[L], the group of each superpoint: those that touch and show the same class are one.

    shown: i8[L], the class that each superpoint shows, -1 without a feature; such superpoints are alone.
    pair: i8[E, 2] as of `touching`.
    """
    one, other = pair.T
    same = (shown[one] == shown[other]) & (shown[one] >= 0)
    graph = coo_matrix((np.ones(same.sum(), bool), (one[same], other[same])), (len(shown), len(shown)))
    return connected_components(graph, directed=False)[1]


def areas(superpoint: np.ndarray, xyz: np.ndarray, face: np.ndarray) -> np.ndarray:
    """f8[L], square metres of each superpoint: of each triangle a third for each corner; without faces VOXEL
    squared for each cell of a grid, shared by the points in it. Unlike a number of points it hardly depends
    on how dense they are. superpoint: i4[N], xyz: f4[N, 3], face: i4[F, 3]."""
    count = int(superpoint.max(initial=-1)) + 1
    if len(face):
        area = np.zeros(count)
        for block in np.array_split(face, -(-len(face) // FACES)):
            start, *ends = (xyz[column].astype(np.float64) for column in block.T)
            third = np.linalg.norm(np.cross(*(end - start for end in ends)), axis=1) / 6
            area += sum(np.bincount(superpoint[column], third, count) for column in block.T)
        return area
    cell = np.floor((xyz - xyz.min(0, initial=np.inf)) / VOXEL).astype(np.int64)
    number = np.ravel_multi_index(tuple(cell.T), tuple(cell.max(0, initial=0) + 1))
    _, number, shared_by = np.unique(number, return_inverse=True, return_counts=True)
    return np.bincount(superpoint, VOXEL**2 / shared_by[number], count)


def by_superpoint(
    score: np.ndarray, left_out: np.ndarray, superpoint: np.ndarray, superpoints: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(mean f8[L] of the scores of each superpoint's points, NaN where none has one; how many have one i8[L];
    the share of these that is left out f8[L]). score: f4[N], NaN where there is none; left_out: b1[N];
    superpoint: i4[N]."""
    known = np.isfinite(score)
    count = np.bincount(superpoint[known], minlength=superpoints)
    total = np.bincount(superpoint[known], score[known], superpoints)
    out = np.bincount(superpoint[known & left_out], minlength=superpoints)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan), count, out / np.maximum(count, 1)


def ranked(
    score: np.ndarray,  # [L], the mean of each superpoint's points that have one, NaN where none has
    count: np.ndarray,  # [L], how many these are
    out: np.ndarray,  # [L], the share of these that is left out
    deviation: float,
    superpoint: np.ndarray,  # [N]
    group: np.ndarray,  # [L]
    area: np.ndarray,  # [L]
    xyz: np.ndarray,  # [N, 3]
    top: int,
) -> list[Match]:
    """The `top` groups that a text means most, best first, without those of which half or more is left out.

    What a group is given as its score is the mean over its points that have one. A mean over little surface
    is high or low by chance, so groups are ordered by the lower end of its error: the mean less the standard
    error that it had if each LOOK of the group's area were one independent draw from all scores of the scene,
    of which `deviation` is the standard deviation. A sliver then comes before a larger group only where its
    mean is clearly higher.
    """
    superpoint = superpoint.astype(np.intp, copy=False)
    points = np.bincount(superpoint, minlength=len(group))
    total = count * np.where(count > 0, score, 0)
    surface = area * count / np.maximum(points, 1)  # of what has a score
    size, total, out, surface = (np.bincount(group, each) for each in (count, total, count * out, surface))
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


def _by_rank(rank: np.ndarray, count: int) -> list[np.ndarray]:
    """The indices of those of each rank 0..count-1; rank: i8[n], `count` of what has none."""
    ranked = np.flatnonzero(rank < count)
    ranked = ranked[np.argsort(rank[ranked], kind="stable")]
    return np.split(ranked, np.searchsorted(rank[ranked], np.arange(1, count)))[:count]


def _match(superpoints: np.ndarray, score: float, area: np.ndarray, xyz: np.ndarray) -> Match:
    column = np.ascontiguousarray(xyz.T)  # NumPy takes 40 times as long along the short axis
    centre, extent = column.mean(1).tolist(), np.ptp(column, axis=1).tolist()
    surface = float(area[superpoints].sum())
    return Match(tuple(superpoints.tolist()), score, len(xyz), surface, tuple(centre), tuple(extent))
