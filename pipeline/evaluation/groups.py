"""Superpoints that belong together, ranked by how well a text means them."""

from __future__ import annotations

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


def touching(superpoint: np.ndarray, xyz: np.ndarray, face: np.ndarray) -> np.ndarray:
    """i8[E, 2]: pairs a < b of superpoints that share an edge of the mesh, or, without faces, that are among
    each other's nearest points. superpoint: i4[N], xyz: f4[N, 3], face: i4[F, 3]."""
    if len(face):
        edge = np.concatenate([face[:, [0, 1]], face[:, [1, 2]], face[:, [2, 0]]])
    else:
        _, near = cKDTree(xyz).query(xyz, min(NEIGHBOURS + 1, len(xyz)))
        near = near.reshape(len(xyz), -1)
        edge = np.stack([np.repeat(np.arange(len(xyz)), near.shape[1]), near.ravel()], 1)
    pair = np.sort(superpoint[edge].astype(np.int64), axis=1)
    return np.unique(pair[pair[:, 0] < pair[:, 1]], axis=0)


def objects(known: np.ndarray, superpoint: np.ndarray, pair: np.ndarray) -> np.ndarray:
    """i4[L], the group of each superpoint: those that touch and show the same class are one.

    known: f4[N, V], similarities of the points with the vocabulary, NaN where a point has no feature; a
    superpoint shows the class of its highest mean. superpoint: i4[N]; pair: i8[E, 2] as of `touching`.
    Superpoints without a feature are alone.
    """
    count = int(superpoint.max(initial=-1)) + 1
    there = np.isfinite(known).all(1)
    total = np.stack([np.bincount(superpoint[there], column, count) for column in known[there].T], 1)
    seen = np.bincount(superpoint[there], minlength=count) > 0
    label = total.argmax(1)
    one, other = pair.T
    same = (label[one] == label[other]) & seen[one] & seen[other]
    graph = coo_matrix((np.ones(same.sum(), bool), (one[same], other[same])), (count, count))
    return connected_components(graph, directed=False)[1]


def ranked(
    score: np.ndarray,  # [N], NaN where there is none
    superpoint: np.ndarray,  # [N]
    group: np.ndarray,  # [L]
    xyz: np.ndarray,  # [N, 3]
    left_out: np.ndarray,  # [N]
    top: int,
) -> list[Match]:
    """The `top` groups of the highest mean score over their points that have one, best first, without those
    of which half or more is left out."""
    member, known = group[superpoint], np.isfinite(score)
    size = np.bincount(member[known], minlength=int(group.max(initial=-1)) + 1)
    total = np.bincount(member[known], score[known], len(size))
    out = np.bincount(member[known & left_out], minlength=len(size))
    mean = np.where(2 * out < size, total / np.maximum(size, 1), -np.inf)
    best = [index for index in np.argsort(-mean, kind="stable")[:top] if np.isfinite(mean[index])]
    return [
        _match(np.flatnonzero(group == index), float(mean[index]), xyz[member == index]) for index in best
    ]


def _match(superpoints: np.ndarray, score: float, xyz: np.ndarray) -> Match:
    centre, extent = xyz.mean(0).tolist(), np.ptp(xyz, axis=0).tolist()
    return Match(tuple(superpoints.tolist()), score, len(xyz), tuple(centre), tuple(extent))
