"""Readings of a scan's numbers: what each makes of them, and what turns one into another."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from anyscene.datasets.readings import AXES, FORMS, POSES, Change, Reading, others, reading_of
from anyscene.errors import DataError
from anyscene.scene import Camera, Frame
from tests.builders import box_room

MATRIX = np.array([[0.0, -1, 0, 2], [1, 0, 0, 3], [0, 0, 1, 4], [0, 0, 0, 1]])  # a quarter about z


def test_a_pose_by_hand():
    assert Reading().pose(MATRIX).tolist() == MATRIX.tolist()
    # R^T = [[0, 1, 0], [-1, 0, 0], [0, 0, 1]], and -R^T t = (-3, 2, -4)
    inverse = [[0, 1, 0, -3], [-1, 0, 0, 2], [0, 0, 1, -4], [0, 0, 0, 1]]
    assert np.allclose(Reading(poses="world-to-camera").pose(MATRIX), inverse)
    flipped = [[0, 1, 0, 2], [1, 0, 0, 3], [0, 0, -1, 4], [0, 0, 0, 1]]
    assert np.allclose(Reading(axes="opengl").pose(MATRIX), flipped)
    assert np.allclose(Reading(scale=0.1).pose(MATRIX), MATRIX)  # in the unit of the file
    with pytest.raises(np.linalg.LinAlgError):
        Reading(poses="world-to-camera").pose(np.zeros((4, 4)))


WAYS = [
    Reading(poses=poses, axes=axes, scale=scale)
    for poses, axes, scale in itertools.product(POSES, AXES, (1.0, 0.1))
]


@pytest.mark.parametrize(("now", "other"), itertools.product(WAYS, WAYS))
def test_changed_poses_are_those_of_the_other_reading_up_to_the_world(now, other):
    written = [box_room.pose_of(k, 7) for k in range(3)]
    changed = now.to(other).poses(in_metres(now, written))
    wanted = in_metres(other, written)
    between = [np.linalg.solve(poses[0], poses[1:]) for poses in (changed, wanted)]
    assert np.allclose(*between)


def in_metres(reading, written) -> np.ndarray:
    poses = np.array([reading.pose(one) for one in written])
    poses[:, :3, 3] *= reading.scale
    return poses


@pytest.mark.parametrize(("now", "other"), itertools.product(FORMS, FORMS))
def test_changed_depth_is_that_of_the_other_reading(tmp_path, now, other):
    file = tmp_path / "d.png"
    Image.fromarray(np.array([[800, 1600], [2400, 8000]], np.uint16)).save(file)
    camera = Camera(np.array([[1.0, 0, 0.5], [0, 1, 0.5], [0, 0, 1]]), np.eye(4), 2, 2)
    scales = {"axis": 1000.0, "ray": 5000.0, "rotated": 1000.0}
    readings = [Reading(scales[form], form) for form in (now, other)]
    found = [Frame("d", file, file, one.depth_scale, camera, one.depth_form).read_depth() for one in readings]
    change = readings[0].to(readings[1])
    assert np.allclose(found[0] * change.depth * np.sqrt(1.5) ** change.along, found[1])


def test_bits_that_were_rotated():
    # 9000 = 0b0010001100101000; the first three bits, 001, go to the end
    assert box_room.rotated(np.array([1000.0, 9000.0])).tolist() == [8000.0, 0b0001100101000001]


def test_differences_in_names_and_words():
    now = Reading()
    other = Reading(5000.0, "ray", "world-to-camera", "opengl", 0.1)
    assert now.different(other) == {
        "depth_scale": 5000.0, "depth_form": "ray", "poses": "world-to-camera", "axes": "opengl",
        "scale": 0.1,
    }  # fmt: skip
    assert now.in_words(other) == (
        "5000 steps of depth in a metre (TUM RGB-D's steps) and depth as the distance along the ray of its "
        "pixel and poses that are world to camera and the camera axes of OpenGL and poses whose unit is 0.1 m"
    )
    assert other.in_words(now).startswith("1000 steps of depth in a metre (millimetres) and depth along the")
    assert now.in_words(Reading(depth_form="rotated")) == "the bits of depth rotated, as in SUN RGB-D"
    rotated = Reading(depth_form="rotated")
    assert rotated.in_words(replace(rotated, axes="opengl")) == "the camera axes of OpenGL"
    assert now.different(now) == {} and now.in_words(now) == ""


@pytest.mark.parametrize(
    "now", [Reading(), Reading(5000.0, "ray"), Reading(1000.0, "rotated", axes="opengl", scale=0.5)]
)
def test_others_are_many_and_each_is_another(now):
    found = list(others(now))
    assert len(set(found)) == len(found) and now not in found
    for poses, axes in itertools.product(POSES, AXES):
        near = replace(now, poses=poses, axes=axes)
        for scale in (100.0, 1000.0, 5000.0, 6553.5, 10000.0):
            for form in ("axis", "ray"):
                reading = replace(near, depth_scale=scale, depth_form=form)
                assert reading in found or reading == now
        assert replace(near, scale=0.1 * now.scale) in found
        assert replace(near, depth_scale=1000.0, depth_form="rotated") in [*found, now]
    assert all(now.scale == one.scale or one.depth_scale == now.depth_scale for one in found)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"depth_scale": 0}, "here: depth_scale must be 1e-09 to"),
        ({"depth_scale": True}, "here: depth_scale must be 1e-09 to"),
        ({"scale": "m"}, "here: scale must be 1e-09 to"),
        ({"scale": 1e-46}, "here: scale must be 1e-09 to 1e\\+09 .*, not 1e-46"),
        ({"depth_scale": 1e30}, "here: depth_scale must be 1e-09 to"),
        ({"scale": float("nan")}, "here: scale must be 1e-09 to"),
        ({"poses": "inverse"}, "here: poses must be camera-to-world or world-to-camera, not 'inverse'"),
        ({"axes": ["opencv"]}, r"here: axes must be opencv or opengl, not \['opencv'\]"),
        ({"depth_form": None}, "here: depth_form must be axis or ray or rotated, not None"),
    ],
)
def test_values_out_of_bounds(values, message):
    with pytest.raises(DataError, match=message):
        reading_of(values, "here")


def test_values_within_bounds():
    values = {"depth_scale": 5000, "depth_size": [3, 4], "axes": "opengl"}
    assert reading_of(values, "here") == Reading(5000.0, axes="opengl")
    assert type(reading_of(values, "here").depth_scale) is float


def test_rounded_changes_are_equal_where_depth_maps_cannot_tell():
    assert Change(depth=0.1).rounded() == Change(positions=10.0).rounded()
    assert Change(depth=0.1 + 1e-12, flipped=True).rounded() == Change(0.1, flipped=True)
