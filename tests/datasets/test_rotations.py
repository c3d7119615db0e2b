"""Rotations of quaternions and vectors, by hand and beside SciPy's own."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from anyscene.datasets import rotations

QUARTER = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]])  # about z, from x to y


def test_a_quarter_about_z():
    assert np.allclose(rotations.of_quaternions([0, 0, 1, 1]), QUARTER)  # of any length
    assert np.allclose(rotations.of_vectors([0, 0, np.pi / 2]), QUARTER)


@pytest.mark.parametrize("share", [0, 0.25, 1])
def test_a_share_of_the_way(share):
    ends = rotations.of_vectors([[0, 0, 0.2], [0, 0, 1.0]])
    assert np.allclose(rotations.between(ends, share), rotations.of_vectors([0, 0, 0.2 + share * 0.8]))


def test_many_at_once_as_one_by_one():
    vectors = np.random.default_rng(0).normal(size=(2, 3, 3))
    found = rotations.of_vectors(vectors)
    for row, of_row in zip(vectors, found, strict=True):
        for vector, matrix in zip(row, of_row, strict=True):
            assert np.allclose(matrix, Rotation.from_rotvec(vector).as_matrix())
            assert np.allclose(rotations.of_quaternions(Rotation.from_rotvec(vector).as_quat()), matrix)
