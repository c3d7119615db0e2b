"""Rows that are equal."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from anyscene.lifting.places import distinct


@given(arrays(np.float32, st.tuples(st.integers(0, 30), st.integers(1, 3)), elements=st.integers(-1, 1)))
def test_kinds_equal_those_found_one_by_one(rows):
    first, place = distinct(rows)
    kinds = {}
    expected = [kinds.setdefault(tuple(row), len(kinds)) for row in rows.tolist()]
    assert place.tolist() == expected and place.dtype == first.dtype == np.int32
    assert first.tolist() == [expected.index(kind) for kind in range(len(kinds))]


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int32])
def test_where_all_rows_differ_both_are_in_order(kind):
    rows = np.random.default_rng(0).permutation(300).reshape(100, 3).astype(kind)
    first, place = distinct(rows)
    assert np.array_equal(first, np.arange(100)) and np.array_equal(place, np.arange(100))


def test_zeros_of_both_signs_are_equal_and_nan_is_nothing():
    assert distinct(np.array([[0.0, 1], [-0.0, 1]], np.float32))[1].tolist() == [0, 0]
    assert distinct(np.array([[np.nan, 1], [np.nan, 1]], np.float32))[1].tolist() == [0, 1]
