"""Strays do not decide what a picture shows."""

import numpy as np

from anyscene.show.framing import in_frame
from anyscene.show.viewpoint import NOTHING, corner_viewpoint


def room():
    """A floor of 4 x 3 m with a lamp of a few points in its middle."""
    x, y = np.meshgrid(np.linspace(0, 4, 81), np.linspace(0, 3, 61))
    floor = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], 1)
    lamp = np.stack([np.full(20, 2.0), np.full(20, 1.5), np.linspace(0, 2.2, 20)], 1)
    return np.concatenate([floor, lamp]).astype(np.float32)


def test_a_room_holds_all_its_points():
    assert in_frame(room()).all()
    assert in_frame(np.zeros((1, 3), np.float32)).all()


def test_one_percent_of_points_far_away_is_out_of_frame():
    xyz = room()
    strays = np.tile(np.float32([40, -50, 3]), (len(xyz) // 100, 1))
    inside = in_frame(np.concatenate([xyz, strays]))
    assert inside[: len(xyz)].all() and not inside[len(xyz) :].any()


def test_a_picture_is_as_large_with_strays_as_without():
    """A depth of 65.5 m, of pixels that had no reading, made a speck of a room."""
    xyz = room()
    strays = xyz[:: len(xyz) // 49] + np.float32([50, 40, 0])
    together = np.concatenate([xyz, strays])
    up = np.float32([0, 0, 1])
    alone, view = (
        corner_viewpoint(points, np.tile(up, (len(points), 1)), (80, 60)) for points in (xyz, together)
    )
    assert view.point.max() < len(xyz)
    covered, expected = ((one.point != NOTHING).sum() for one in (view, alone))
    assert covered == expected


def test_a_point_is_in_frame_up_to_twice_the_longest_half_side():
    """A line of 101 points from 0 to 100: 96 % of them lie from 2 to 98, so up to 96 from its middle 50 on
    every axis. The axes without a side have the same reach around their middles."""
    line = np.zeros((101, 3))
    line[:, 1] = np.arange(101)
    line[:, 2] = 7
    assert in_frame(line).all()
    for place, inside in (
        ((0, 145.9, 7), True),
        ((0, 146.1, 7), False),
        ((0, -45.9, 7), True),
        ((0, -46.1, 7), False),
        ((95.9, 50, 7), True),
        ((96.1, 50, 7), False),
        ((0, 50, -88.9), True),
        ((0, 50, -89.1), False),
    ):
        two = np.array([place, (0, 2.0, 7)])  # far more points of the line leave the percentiles as they are
        found = in_frame(np.concatenate([np.repeat(line, 1000, axis=0), two]))
        assert found[-2] == inside and found[:-2].all()


def test_in_a_speck_ten_centimetres_are_the_half_side():
    speck = np.zeros((1000, 3))
    speck[-2:, 0] = 0.19, 0.21
    assert in_frame(speck)[-2:].tolist() == [True, False]
