"""Colours as files write them -> bytes."""

from __future__ import annotations

import numpy as np

from anyscene.arrays import U1, Array

GREY = 128  # what a point without a colour is shown as


def as_bytes(values: Array) -> U1:
    """u1[N, C] of colours in any of the forms that files have: whole numbers of 8 or 16 bits, or floats in
    0..1 or 0..255.

    values: numbers [N, C]. Numbers of 16 bits that stay below 256 are bytes that were not scaled; LAS says
    that they should be, and many files do not. Raises ValueError for what is none of these.

    >>> from anyscene.datasets.geometry.colours import as_bytes
    >>> as_bytes(np.array([[65535, 256, 0]], np.uint16)).tolist(), as_bytes(np.array([[1, 0.5, 0]])).tolist()
    ([[255, 1, 0]], [[255, 128, 0]])
    """
    if values.dtype == np.uint8 or not values.size:
        return values.astype(np.uint8)
    if values.dtype.kind not in "fiu":
        raise ValueError(f"colours of type {values.dtype}")
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= np.iinfo(np.uint16).max):  # NaN is neither
        raise ValueError(f"colours from {low:g} to {high:g}, which are neither 0..1, 0..255 nor 0..65535")
    whole = values.dtype.kind in "iu"
    if high > 255:
        values = values // 256
    elif high <= 1 and not whole:
        values = values * 255
    colours: U1 = np.rint(values).astype(np.uint8)
    return colours


def grey(count: int) -> U1:
    """u1[count, 3]: colours of points that have none."""
    return np.full((count, 3), GREY, np.uint8)
