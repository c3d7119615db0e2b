"""Colours in the forms that files have."""

import numpy as np
import pytest

from anyscene.datasets.geometry.colours import GREY, as_bytes, grey


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([0, 7, 255], np.uint8), [0, 7, 255]),
        (np.array([0, 7, 255], np.int32), [0, 7, 255]),
        (np.array([0, 7, 255], np.uint16), [0, 7, 255]),  # bytes that were not scaled
        (np.array([0, 7 * 256, 255 * 256], np.uint16), [0, 7, 255]),  # as LAS says
        (np.array([0, 7 * 257, 255 * 257], np.uint16), [0, 7, 255]),  # as images are widened
        (np.array([0, 7 * 256, 65535], np.uint32), [0, 7, 255]),
        (np.array([0, 0.5, 1], np.float32), [0, 128, 255]),
        (np.array([0, 7, 255], np.float64), [0, 7, 255]),
        (np.array([0, 7 * 256, 65535], np.float64), [0, 7, 255]),
        (np.array([0, 0, 0], np.float64), [0, 0, 0]),
        (np.array([0, 1, 2], np.float64), [0, 1, 2]),  # of which one is beyond 1
    ],
)
def test_any_form_becomes_bytes(values, expected):
    found = as_bytes(values[None])
    assert found.dtype == np.uint8 and found.tolist() == [expected]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([-0.1, 0.5, 1], r"from -0\.1 to 1, which are neither 0\.\.1"),
        ([0, 0, 70000], "from 0 to 70000, which are neither"),
        ([np.nan, 0, 0], "from nan to nan, which are neither"),
        ([0, np.inf, 0], "from 0 to inf, which are neither"),
        (["red", "", ""], "colours of type <U3"),
        ([-1, 3, 4], "from -1 to 4, which are neither"),
    ],
)
def test_what_is_no_colour_is_refused(values, said):
    with pytest.raises(ValueError, match=said):
        as_bytes(np.array([values]))


def test_none_and_grey():
    assert as_bytes(np.zeros((0, 3))).shape == (0, 3)
    assert grey(2).tolist() == [[GREY] * 3] * 2
