"""Whole numbers of files -> the integers that are kept. What does not fit is refused: a cast would make
another number of it, and often a valid one."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from anyscene.arrays import Array

Kind = TypeVar("Kind", bound=np.integer)


def whole(values: Array, kind: type[Kind]) -> NDArray[Kind]:
    """The values as integers of `kind`, in their shape. Raises ValueError that names the first that is not
    whole, not finite, or beyond what `kind` can hold.

    >>> from anyscene.datasets.whole_numbers import whole
    >>> whole(np.array([3.0, -1.0]), np.int16).tolist()
    [3, -1]
    >>> whole(np.array([65539]), np.int16)
    Traceback (most recent call last):
    ValueError: 65539 is no whole number in -32768..32767
    """
    low, high = int(np.iinfo(kind).min), int(np.iinfo(kind).max)
    if values.dtype.kind not in "iuf":
        raise ValueError(f"{values.dtype} are no numbers")
    fits = (values >= low) & (values < float(high) + 1 if values.dtype.kind == "f" else values <= high)
    if values.dtype.kind == "f":
        fits &= values == np.rint(values)
    if not fits.all():
        raise ValueError(f"{values[~fits].flat[0]} is no whole number in {low}..{high}")
    return values.astype(kind, copy=False)
