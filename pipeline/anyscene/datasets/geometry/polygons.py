"""Polygons as triangles."""

from __future__ import annotations

import numpy as np

from anyscene.arrays import I8, Array
from anyscene.datasets.whole_numbers import whole


def fans(polygons: Array) -> tuple[I8, I8]:
    """(triangle i8[F, 3], slot i8[F, 3]): polygons as fans of triangles from their first corner, and of each
    corner its place in the list of all corners of all polygons. What has fewer than three corners is left
    out.

    polygons: numbers [P, K], or objects [P], each an array of numbers [K]. Raises ValueError where one is not
    whole.

    >>> from anyscene.datasets.geometry.polygons import fans
    >>> fans(np.array([[4, 5, 6, 7]]))[0].tolist()
    [[4, 5, 6], [4, 6, 7]]
    """
    if polygons.dtype == object:
        size = np.array([len(polygon) for polygon in polygons], np.int64)
        corner = whole(np.concatenate([*polygons, np.zeros(0, np.int64)]), np.int64)
    else:
        size = np.full(len(polygons), polygons.shape[1], np.int64)
        corner = whole(polygons.reshape(-1), np.int64)
    start = np.cumsum(size) - size
    count = np.maximum(size - 2, 0)  # triangles of each
    first = np.repeat(start, count)
    step = np.arange(len(first)) - np.repeat(np.cumsum(count) - count, count)
    slot = np.stack([first, first + step + 1, first + step + 2], 1)
    return corner[slot], slot
