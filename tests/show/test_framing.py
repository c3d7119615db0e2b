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
