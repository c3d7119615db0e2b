"""Which points of a scene are drawn, and how far they are apart."""

from __future__ import annotations

import numpy as np

ATTEMPTS, ENOUGH = 8, 0.9  # at a grid of about as many cells as points may be drawn
COARSE, FINE = 0.1, 0.002  # metres: bounds of what is taken for the distance of neighbouring points


def spread(xyz: np.ndarray, most: int) -> np.ndarray:
    """i8[M]: in rising order at most `most` (0 = all) of the points f4[N, 3], one of each occupied cell of a
    grid. So they cover surfaces with fewer gaps than as many that are drawn by lot, and scans of any density
    alike."""
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


def spacing(xyz: np.ndarray) -> float:
    """Metres between neighbouring points of surfaces: the occupied cells of a coarse grid give their area."""
    if len(xyz) == 0:
        return COARSE
    occupied = len(np.unique(_cells(xyz, COARSE)))
    return float(np.clip(COARSE * np.sqrt(occupied / len(xyz)), FINE, COARSE))


def _cells(xyz: np.ndarray, cell: float) -> np.ndarray:
    """i8[N]: the cell of a grid that each point is in."""
    x, y, z = ((xyz - xyz.min(0)) / cell).astype(np.int64).T
    return (x << 40) | (y << 20) | z
