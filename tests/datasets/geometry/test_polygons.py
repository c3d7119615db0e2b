"""Polygons as fans of triangles."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from anyscene.datasets.geometry.polygons import fans


@given(st.lists(st.lists(st.integers(0, 99), max_size=7), max_size=9))
def test_fans_equal_those_made_one_by_one(polygons):
    ragged = np.empty(len(polygons), object)
    ragged[:] = [np.array(one, np.int32) for one in polygons]
    triangle, slot = fans(ragged)
    expected = [(one[0], one[i], one[i + 1]) for one in polygons for i in range(1, len(one) - 1)]
    assert triangle.reshape(-1, 3).tolist() == [list(one) for one in expected]
    corners = [corner for one in polygons for corner in one]
    assert np.array_equal(np.array(corners, np.int64)[slot], triangle)


def test_polygons_of_one_size():
    assert fans(np.array([[0, 1, 2], [3, 4, 5]], np.uint8))[0].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert fans(np.array([[9, 8, 7, 6, 5]]))[1].tolist() == [[0, 1, 2], [0, 2, 3], [0, 3, 4]]
