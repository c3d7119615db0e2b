"""Which point a ray means."""

from __future__ import annotations

import numpy as np
import pytest

from anyscene.show.viewer.picking import hit


def meant(*points, direction=(0, 0, 2.0)):
    """From the origin, where points lie 0.1 m apart: a point is near the ray up to 0.4 m, and all that lie
    less than 0.8 m behind the first are of its surface."""
    return hit(np.array(points, np.float32), (0, 0, 0), direction, 0.1)


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([(0.39, 0, 5)], 0),
        ([(0.41, 0, 5)], None),
        ([(0, 0, -5)], None),  # behind
        ([(0.2, 0, 5), (0.1, 0, 5)], 1),  # the closest to the ray
        ([(0.3, 0, 5), (0, 0, 5.79)], 1),
        ([(0.3, 0, 5), (0, 0, 5.81)], 0),  # the next surface
        ([(1, 0, 1), (0, 0.3, 3), (0, 0.2, 3.1), (0, 0, 9)], 2),
    ],
)
def test_the_closest_point_of_the_first_surface(points, expected):
    assert meant(*points) == expected


def test_the_length_of_the_direction_and_the_origin_count_for_nothing():
    xyz = np.array([(3, 1, 1), (1, 3, 1)], np.float32)
    for direction in ((20, 0, 0), (0.01, 0, 0)):
        assert hit(xyz, (1, 1, 1), direction, 0.1) == 0
    assert hit(xyz, (1, 1, 1), (0, 1, 0), 0.1) == 1
