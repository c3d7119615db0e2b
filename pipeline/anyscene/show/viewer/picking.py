"""Which point a click means."""

from __future__ import annotations

import numpy as np

from anyscene.arrays import F4, Floats

NEAR = 4.0  # a point is meant up to so many times the distance of neighbouring points from the ray


def hit(xyz: F4, origin: Floats, direction: Floats, spacing: float) -> int | None:
    """The index of the point that a ray meets: the closest to the ray on the first surface that it crosses;
    None where no point is close.

    xyz: f4[N, 3], metres; origin, direction: f[3]; spacing: the distance of neighbouring points, metres.
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
