"""Vertices at equal places, which many tools write several times: for each triangle, along seams of
textures."""

from __future__ import annotations

import numpy as np

from anyscene.arrays import I4, Array

MIX = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / the golden ratio, odd: Knuth's multiplicative hash


def distinct(rows: Array) -> tuple[I4, I4]:
    """(first i4[P], place i4[N]): the first of each kind of equal rows, in rising order, and the kind 0..P-1
    of every row. Where no two rows are equal both are 0..N-1. rows: numbers [N, C]; -0 equals 0, and NaN
    nothing.

    >>> from anyscene.lifting.places import distinct
    >>> first, place = distinct(np.array([[1.0, 2], [0, 0], [1, 2], [-0.0, 0]]))
    >>> first.tolist(), place.tolist()
    ([0, 1], [0, 1, 0, 1])
    """
    if _all_differ(rows):
        every = np.arange(len(rows), dtype=np.int32)
        return every, every
    order = np.lexsort(rows.T[::-1])
    ordered = rows[order]
    new = np.ones(len(rows), bool)
    new[1:] = (ordered[1:] != ordered[:-1]).any(1)
    first = order[new]  # the sort is stable, so the first of its kind
    rank = np.argsort(first)
    number = np.empty(len(first), np.int32)
    number[rank] = np.arange(len(first), dtype=np.int32)
    place = np.empty(len(rows), np.int32)
    place[order] = number[np.cumsum(new) - 1]
    return first[rank].astype(np.int32), place


def _all_differ(rows: Array) -> bool:
    """Whether no two rows have one hash, which is sooner known than their order."""
    key = np.zeros(len(rows), np.uint64)
    for column in rows.T:
        bits = (column.astype(np.float64) + 0.0).view(np.uint64)  # -0 becomes 0
        key = (key ^ (key >> np.uint64(29)) ^ bits) * MIX
        key ^= key >> np.uint64(32)
    key.sort()
    return not bool((key[1:] == key[:-1]).any())
