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
    with pytest.raises(ViewpointError, match="the scene has no points to show"):
        corner_viewpoint(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32), SIZE)


def test_pixels_show_what_the_picture_shows():
    point = np.full((4, 4), NOTHING, np.int32)
    point[:2, :2], point[2:, 2:] = 0, 1
    found = Viewpoint(point, np.ones(2, np.float32)).pixels(np.array([7, 9]))
    assert found.tolist() == [[7, -1], [-1, 9]]


def corner_of_a_room(x, y, side=18):
    """A floor of 2 x 2 m around (5, -3) and the two walls that one sees from its corner (x, y), each 1 or -1:
    (xyz, normal). The points at the corners of the floor are the first, with (-1, -1), (-1, 1), (1, -1),
    (1, 1) in this order."""
    corners = [(-1, -1, 0), (-1, 1, 0), (1, -1, 0), (1, 1, 0)]
    steps = np.linspace(-0.7, 0.7, side)
    floor = [(a, b, 0) for a in steps for b in steps]
    height = [(a, c) for a in steps for c in np.linspace(0.3, 1, 8)]
    walls = [(-x, a, c) for a, c in height], [(a, -y, c) for a, c in height]
    xyz = np.array([*corners, *floor, *walls[0], *walls[1]], float)
    normal = np.repeat([(0, 0, 1), (x, 0, 0), (0, y, 0)], [4 + side**2, len(height), len(height)], axis=0)
    return (xyz + [5, -3, 0]).astype(np.float32), normal.astype(np.float32)


def look(xyz, x, y):
    """(columns f8[N], rows f8[N]) in a picture of 160 x 120 subpixels, by a pinhole camera: 48 degrees above
    the direction (x, y), three and a half times the half diagonal of the box from its middle. What is seen
    fills 96 % of the width or of the height, and lies in the middle."""
    low, high = np.percentile(xyz, [0.5, 99.5], axis=0)
    middle, reach = (low + high) / 2, 3.5 * np.linalg.norm((high - low) / 2)
    up, flat = np.radians(48), np.array([x, y]) / np.sqrt(2)
    eye = middle + reach * np.array([*(np.cos(up) * flat), np.sin(up)])
    forward = (middle - eye) / reach
    right = np.cross(forward, [0, 0, 1]) / np.linalg.norm(np.cross(forward, [0, 0, 1]))
    down = np.cross(forward, right)
    along = (xyz - eye) @ forward
    seen = np.stack([(xyz - eye) @ right / along, (xyz - eye) @ down / along])
    low, high = seen.min(1), seen.max(1)
    scale = min(0.96 * np.array([160, 120]) / (high - low))
    return (seen - (low + high)[:, None] / 2) * scale + np.array([[80], [60]])


@pytest.mark.parametrize(("x", "y"), [(1, 1), (1, -1), (-1, 1), (-1, -1)])
def test_a_room_is_seen_from_the_corner_that_shows_most(x, y):
    """The near corner of its floor is at the bottom, the far one at the top; right is right."""
    xyz, normal = corner_of_a_room(x, y)
    view = corner_viewpoint(xyz, normal, SIZE)
    assert view.point.shape == (120, 160)
    seen, floor, wall = np.unique(view.point), 4 + 18**2, 18 * 8
    assert (seen >= floor + wall).any() and ((seen >= floor) & (seen < floor + wall)).any()  # both walls
    column, row = look(xyz, x, y)
    places = {}
    for index in range(4):
        found = np.argwhere(view.point == index)
        places[tuple(np.sign(xyz[index, :2] - [5, -3]).astype(int))] = found.mean(0)
        assert np.abs(found - [row[index], column[index]]).max() < 6  # its disc
        assert view.point[round(row[index]), round(column[index])] == index
    near, far, left, right = (places[at] for at in ((x, y), (-x, -y), (y, -x), (-y, x)))
    assert near[0] > left[0] > far[0] and near[0] > right[0] > far[0] and left[1] < near[1] < right[1]


def test_light_falls_from_above_and_a_little_from_the_side():
    """A share of 0.72 of the brightness is everywhere; the rest is the cosine with (0.35, 0.25, 0.9)."""
    xyz, normal = corner_of_a_room(1, 1)
    shade = corner_viewpoint(xyz, normal, SIZE).shade
    length = np.sqrt(0.35**2 + 0.25**2 + 0.9**2)
    for place, cosine in ((0, 0.9), (4 + 18**2, 0.35), (-1, 0.25)):
        assert shade[place] == pytest.approx(0.72 + 0.28 * cosine / length, abs=1e-5)
