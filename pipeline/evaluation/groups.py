"""Superpoints that belong together, ranked by how well a text means them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

NEIGHBOURS = 6  # by which superpoints touch where there is no mesh


@dataclass(frozen=True)
class Match:
    """A group of superpoints: mean score of its `points` points, their mean position and extent in metres."""

    superpoints: tuple[int, ...]
    score: float
    points: int
    centre: tuple[float, float, float]
    extent: tuple[float, float, float]


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


def classes(known: np.ndarray, superpoint: np.ndarray) -> np.ndarray:
    """i8[L], the class that each superpoint shows, that of its highest mean; -1 where no point has a feature.

    known: f4[N, V], similarities of the points with the vocabulary, NaN where a point has no feature.
    superpoint: i4[N].
    """
    count = int(superpoint.max(initial=-1)) + 1
    there = np.isfinite(known).all(1)
    total = np.stack([np.bincount(superpoint[there], column, count) for column in known[there].T], 1)
    seen = np.bincount(superpoint[there], minlength=count) > 0
    return np.where(seen, total.argmax(1), -1)


def objects(shown: np.ndarray, pair: np.ndarray) -> np.ndarray:
    """i4[L], the group of each superpoint: those that touch and show the same class are one.

    shown: i8[L] as of `classes`; pair: i8[E, 2] as of `touching`. Superpoints without a feature are alone.
    """
    one, other = pair.T
    same = (shown[one] == shown[other]) & (shown[one] >= 0)
    graph = coo_matrix((np.ones(same.sum(), bool), (one[same], other[same])), (len(shown), len(shown)))
    return connected_components(graph, directed=False)[1]


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
    superpoint: np.ndarray,  # [N]
    group: np.ndarray,  # [L]
    xyz: np.ndarray,  # [N, 3]
    top: int,
) -> list[Match]:
    """The `top` groups of the highest mean score over their points that have one, best first, without those
    of which half or more is left out."""
    groups = int(group.max(initial=-1)) + 1
    sums = (count, count * np.where(count > 0, score, 0), count * out)
    size, total, without = (np.bincount(group, weights, groups) for weights in sums)
    mean = np.where(2 * without < size, total / np.maximum(size, 1), -np.inf)
    best = [index for index in np.argsort(-mean, kind="stable")[:top] if np.isfinite(mean[index])]
    member = group[superpoint] if best else None
    return [
        _match(np.flatnonzero(group == index), float(mean[index]), xyz[member == index]) for index in best
    ]


def _match(superpoints: np.ndarray, score: float, xyz: np.ndarray) -> Match:
    centre, extent = xyz.mean(0).tolist(), np.ptp(xyz, axis=0).tolist()
    return Match(tuple(superpoints.tolist()), score, len(xyz), tuple(centre), tuple(extent))
