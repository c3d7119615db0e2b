"""At which angle the walls of a scan stand, by its upright surfaces."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from anyscene.arrays import F8

# What a person wants of walls: along x and y, where their angle is known; or as they stand.
Walls = Literal["align", "keep"]
WALLS: tuple[Walls, ...] = get_args(Walls)

LEAN = np.sin(np.radians(10))  # how far from upright a surface may be
RARE = 0.03  # a share of surfaces that is no wall
NEAR = 10  # degrees on both sides of a direction that count as it
MOST = 0.4  # the least share that the best direction has; of directions at random it would be 0.23
CLEARLY = 2.0  # times as much as any other has
STEPS = 5  # of the mean shift, each of which looks at what is near the last mean


def standing(normal: F8) -> F8:
    """f8[K]: the directions that upright surfaces face, in degrees from x about z, modulo the quarter turn
    that lies between the walls of a room. None of them where hardly any surface is upright.

    normal: f8[M, 3] of surfaces of one size, z up."""
    x, y, _ = normal[np.abs(normal[:, 2]) < LEAN].T
    return np.degrees(np.arctan2(y, x)) % 90 if len(x) > RARE * len(normal) else np.zeros(0)


def angle(degrees: F8) -> float | None:
    """From where, in degrees from -45 to below 45, walls must be turned back to lie along x and y; None where
    the directions f8[K] of `standing` do not say it: too few are one direction, or nearly as many are another
    (walls of two houses, an octagon), or all are (trees). Of few surfaces more must agree."""
    count = np.histogram(degrees, 90, (0, 90))[0]
    near = np.array([np.roll(count, shift) for shift in range(-NEAR, NEAR + 1)]).sum(0)
    best = int(near.argmax())
    away = np.abs((np.arange(90) - best + 45) % 90 - 45)
    needed = max(MOST * len(degrees) + np.sqrt(len(degrees)), 1)
    if near[best] < max(needed, CLEARLY * near[away > 2 * NEAR].max()):
        return None
    middle = best + 0.5
    for _ in range(STEPS):
        off = (degrees - middle + 45) % 90 - 45
        middle += off[np.abs(off) < NEAR + 0.5].mean()
    return float((middle + 45) % 90 - 45)
