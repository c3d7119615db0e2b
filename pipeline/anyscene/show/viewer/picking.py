"""Which point a click means."""

from __future__ import annotations

import numpy as np

NEAR = 4.0  # as many point distances from the ray a point may lie and still be meant


def hit(xyz: np.ndarray, origin: np.ndarray, direction: np.ndarray, spacing: float) -> int | None:
    """The point that a ray meets first: the nearest to the eye of those about as close to the ray as any.

    xyz: f4[N, 3]; origin, direction: [3]; spacing: metres between points. None where none is close.
    """
    direction = np.asarray(direction, np.float32)
    direction = direction / np.linalg.norm(direction)
    offset = xyz - np.asarray(origin, np.float32)
    along = offset @ direction
    apart = np.einsum("nc,nc->n", offset, offset) - along**2  # squared
    close = np.flatnonzero((along > 0) & (apart <= (NEAR * spacing) ** 2))
    if len(close) == 0:
        return None
    front = close[along[close] <= along[close].min() + 2 * NEAR * spacing]  # the first surface
    return int(front[apart[front].argmin()])
