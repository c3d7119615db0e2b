"""Rotation matrices of quaternions and of vectors.

SciPy is imported when it is asked: commands look at their paths, and params.yaml is checked, without it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from anyscene.arrays import F8


def of_quaternions(quaternions: ArrayLike) -> F8:
    """f8[...,3,3] of quaternions x, y, z, w [...,4], of any length but 0.

    >>> of_quaternions([0, 0, 1, 1]) @ [1, 0, 0]  # a quarter about z
    array([0., 1., 0.])
    """
    from scipy.spatial.transform import Rotation

    return np.asarray(Rotation.from_quat(quaternions).as_matrix())


def of_vectors(vectors: ArrayLike) -> F8:
    """f8[...,3,3] of vectors [...,3] that point along the axis and are as long as the angle in radians."""
    from scipy.spatial.transform import Rotation

    return np.asarray(Rotation.from_rotvec(vectors).as_matrix())


def between(matrices: F8, share: float) -> F8:
    """f8[3,3]: by so great a share of the angle on the way from the first of two rotations f8[2,3,3] to the
    second.

    >>> halfway = between(of_vectors([[0, 0, 0], [0, 0, np.pi]]), 0.5)
    >>> np.allclose(halfway @ [1, 0, 0], [0, 1, 0])
    True
    """
    from scipy.spatial.transform import Rotation, Slerp

    return np.asarray(Slerp([0, 1], Rotation.from_matrix(matrices))(share).as_matrix())
