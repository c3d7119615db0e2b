"""Which points of a scene are drawn, and how far apart they are."""

from __future__ import annotations

import numpy as np

from anyscene.arrays import F4, I8

ATTEMPTS, ENOUGH = 8, 0.9  # tries to find a grid, and the share of the points that a good one keeps
COARSE, FINE = 0.1, 0.002  # metres, the bounds of the estimated distance of neighbouring points


def spread(xyz: F4, most: int) -> I8:
    """i8[M]: at most `most` (0 = all) of the points f4[N, 3] in metres, in rising order, one from each
    occupied cell of a grid. They cover surfaces with fewer gaps than points that are drawn at random, and do
    so for scans of any density."""
    if most == 0 or len(xyz) <= most:
        return np.arange(len(xyz))
    cell, found = spacing(xyz) * float(np.sqrt(len(xyz) / most)), np.empty(0, np.int64)
    for _ in range(ATTEMPTS):
        first = np.unique(_cells(xyz, cell), return_index=True)[1]
        if len(found) < len(first) <= most:
            found = first
        if ENOUGH * most <= len(first) <= most:
            break
        cell *= float(np.sqrt(2 * len(first) / (1 + ENOUGH) / most))
    return np.sort(found) if len(found) else np.sort(first)[:: -(-len(first) // most)]


def spacing(xyz: F4) -> float:
    """The distance of neighbouring points on surfaces, in metres. The occupied cells of a coarse grid tell
    how large the surfaces are."""
    if len(xyz) == 0:
        return COARSE
    occupied = len(np.unique(_cells(xyz, COARSE)))
    return float(np.clip(COARSE * np.sqrt(occupied / len(xyz)), FINE, COARSE))


def _cells(xyz: F4, cell: float) -> I8:
    """i8[N]: the number of the cell that each point is in. cell: the side of a cell in metres."""
    x, y, z = ((xyz - xyz.min(0)) / cell).astype(np.int64).T
    number: I8 = (x << 40) | (y << 20) | z
    return number
