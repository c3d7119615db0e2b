"""Which points of a scene a picture has to hold. A few that lie far off would make a speck of the rest."""

from __future__ import annotations

import numpy as np

from anyscene.arrays import B1, Floats

MOST = (2, 98)  # percentiles between which the scene lies on each axis
REACH = 2.0  # how many times half the longest side of that box a point may be from its middle


def in_frame(xyz: Floats) -> B1:
    """b1[N]: the points of xyz [N, 3], metres, that are no strays: on every axis they are within REACH times
    the longest half side of the box that holds 96 % of the points. Walls and lamps are well inside of it."""
    low, high = np.percentile(xyz, MOST, axis=0)
    middle, half = (low + high) / 2, max(float((high - low).max()) / 2, 0.1)
    inside: B1 = (np.abs(xyz - middle) <= REACH * half).all(1)
    return inside
