"""Views show what lies in front, and pictures have the colours of the points."""

from __future__ import annotations

import numpy as np
import pytest

from anyscene.show.viewpoint import NOTHING, Viewpoint, ViewpointError, corner_viewpoint, nearest_points

SIZE = (80, 60)


def box_room(spacing=0.1):
    """A floor, and a low table in its middle: (xyz, normal, 1 where table)."""
    x, y = np.meshgrid(np.arange(0, 4, spacing), np.arange(0, 3, spacing))
    floor = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], 1)
    above = floor[(abs(floor[:, 0] - 2) < 0.5) & (abs(floor[:, 1] - 1.5) < 0.5)] + [0, 0, 0.6]
    xyz = np.concatenate([floor, above]).astype(np.float32)
    normal = np.tile(np.float32([0, 0, 1]), (len(xyz), 1))
    return xyz, normal, np.arange(len(xyz)) >= len(floor)


def test_near_points_hide_far_ones():
    xyz, normal, table = box_room()
    view = corner_viewpoint(xyz, normal, SIZE)
    seen = view.point[view.point != NOTHING]
    assert table[seen].any()
    hidden = set(range(len(xyz))) - set(seen.tolist())
    assert hidden and not table[list(hidden)].any()  # some floor behind the table, nothing of the table


def test_surfaces_turned_away_are_left_out():
    xyz, normal, _ = box_room()
    ceiling = xyz + np.float32([0, 0, 2.5])
    view = corner_viewpoint(np.concatenate([xyz, ceiling]), np.concatenate([normal, -normal]), SIZE)
    assert view.point.max() < len(xyz)


def test_without_normals_what_lies_high_is_left_out():
    xyz, _, _ = box_room()
    ceiling = xyz + np.float32([0, 0, 2.5])
    view = corner_viewpoint(np.concatenate([xyz, ceiling]), np.zeros((2 * len(xyz), 3), np.float32), SIZE)
    assert view.point.max() < len(xyz) and view.visible > len(xyz) // 3


def test_the_floor_is_filled_and_the_view_fits():
    xyz, normal, _ = box_room()
    view = corner_viewpoint(xyz, normal, SIZE)
    row, column = np.nonzero(view.point != NOTHING)
    assert np.ptp(row) > 0.9 * view.point.shape[0] or np.ptp(column) > 0.9 * view.point.shape[1]
    middle = view.point[row.min() + np.ptp(row) // 2]
    inside = np.flatnonzero(middle != NOTHING)
    assert (middle[inside[0] : inside[-1] + 1] != NOTHING).mean() > 0.99


def test_picture_has_the_points_colours_and_a_transparent_ground():
    point = np.full((4, 4), NOTHING, np.int32)
    point[:2, :2], point[2, 2] = 0, 1
    picture = Viewpoint(point, np.array([1, 0.5], np.float32)).picture(
        np.array([[200, 100, 0], [80, 80, 80]], np.uint8)
    )
    assert picture.shape == (2, 2, 4)
    assert picture[0, 0].tolist() == [200, 100, 0, 255]
    assert picture[1, 1].tolist() == [40, 40, 40, 64]  # shaded, a quarter covered
    assert picture[0, 1, 3] == 0


def test_splats_equal_a_search_over_all_points():
    rng = np.random.default_rng(0)
    x, y, depth = rng.uniform(-2, 14, 40), rng.uniform(-2, 10, 40), rng.uniform(1, 3, 40).astype(np.float32)
    radius, spacing = 2, 0.05
    found = nearest_points(x, y, depth, radius, spacing, (8, 12))
    for row in range(8):
        for column in range(12):
            steps = np.hypot(np.rint(y) - row, np.rint(x) - column)
            value = depth + np.hypot(x - column, y - row) / radius * spacing
            value[steps > radius + 0.5] = np.inf
            value[np.abs(np.rint(x) - column) > radius] = np.inf
            expected = NOTHING if np.isinf(value).all() else int(value.argmin())
            assert found[row, column] == expected


def test_one_point_is_a_view():
    assert corner_viewpoint(np.zeros((1, 3), np.float32), np.zeros((1, 3), np.float32), SIZE).visible == 1


def test_no_points_are_refused():
    with pytest.raises(ViewpointError, match="no points"):
        corner_viewpoint(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32), SIZE)


def test_pixels_show_what_the_picture_shows():
    point = np.full((4, 4), NOTHING, np.int32)
    point[:2, :2], point[2:, 2:] = 0, 1
    found = Viewpoint(point, np.ones(2, np.float32)).pixels(np.array([7, 9]))
    assert found.tolist() == [[7, -1], [-1, 9]]
