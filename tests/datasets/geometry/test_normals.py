"""Normals of clouds."""

import numpy as np
import pytest

from anyscene.datasets.geometry import normals
from anyscene.datasets.geometry.normals import NEIGHBOURS, cloud_normals, point_normals, vertex_normals
from tests.builders import coloured_room


def middle(xyz):
    return np.broadcast_to((xyz.min(0) + xyz.max(0)) / 2, xyz.shape)


def floor(step, count=20, noise=0.0):
    x, y = step * np.mgrid[:count, :count].reshape(2, -1)
    z = np.random.default_rng(0).normal(0, noise, x.shape) if noise else 0 * x
    return np.stack([x, y, z], 1)


def test_vertex_normals_weigh_by_area():
    xyz = np.array([[0, 0, 0], [2, 0, 0], [0, 2, 0], [0, 0, 1], [9, 9, 9]], np.float32)
    face = np.array([[0, 1, 2], [0, 2, 3]])
    normal = vertex_normals(xyz, face)
    expected = np.array([2.0, 0, 4.0]) / np.sqrt(20)  # twice the areas: 4 along z, 2 along x
    assert np.allclose(normal[0], expected) and np.allclose(normal[1], [0, 0, 1])
    assert np.array_equal(normal[4], [0, 0, 0])


def test_a_plane_that_is_thinly_scanned_has_that_of_its_points():
    xyz = floor(0.05)
    above = xyz + [0, 0, 3]
    assert np.allclose(cloud_normals(xyz, above), [0, 0, 1], atol=1e-6)
    assert np.allclose(cloud_normals(xyz, -above), [0, 0, -1], atol=1e-6)
    assert np.array_equal(cloud_normals(xyz, above), point_normals(xyz, above))  # a cube for each point


def test_a_plane_that_is_scanned_more_densely_than_its_noise():
    """A laser: a point each 2 mm, 2 mm of noise. The nearest points alone tell nothing."""
    xyz = floor(0.002, 150, noise=0.002)
    up = xyz + [0, 0, 3]
    assert np.median(np.abs(point_normals(xyz[:4000], up[:4000])[:, 2])) < 0.99
    assert np.quantile(cloud_normals(xyz, up)[:, 2], 0.01) > 0.9999


def test_creases_are_kept():
    """Points of a room of 3 cm: beyond two of their steps from an edge the normal is exact."""
    xyz, _ = coloured_room.mesh(0.03)
    side = coloured_room.plane(xyz)
    normal = cloud_normals(xyz, middle(xyz))
    along = np.abs(normal).argmax(1)
    axis = (side - 1) % 6 // 2
    assert np.mean(along[side > 0] == axis[side > 0]) > 0.99
    assert np.mean(np.abs(normal).max(1) > 0.999) > 0.8


def test_own_normals_are_kept_at_length_1():
    xyz = floor(0.05)
    tilted = np.tile([[0.0, 3.0, 4.0]], (len(xyz), 1))
    assert np.allclose(cloud_normals(xyz, xyz + [0, 0, 1], tilted), [0, 0.6, 0.8])
    assert np.allclose(cloud_normals(xyz, xyz - [0, 0, 1], tilted), [0, 0.6, 0.8])  # turned by who made them


def test_own_normals_that_nobody_turned_are_turned():
    xyz = floor(0.05)
    rng = np.random.default_rng(1)
    either = np.array([[0.0, 0, 1]]) * rng.choice([-1, 1], (len(xyz), 1))
    assert np.allclose(cloud_normals(xyz, xyz + [0, 0, 1], either), [0, 0, 1])
    assert np.allclose(cloud_normals(xyz, xyz - [0, 0, 1], either), [0, 0, -1])


@pytest.mark.parametrize("lacking", [0.0, np.nan])
def test_own_normals_that_are_missing_come_from_neighbours(lacking):
    xyz = floor(0.05)
    own = np.tile([[0.0, 0.6, 0.8]], (len(xyz), 1))
    own[::7] = lacking
    found = cloud_normals(xyz, xyz + [0, 0, 1], own)
    assert np.allclose(found[::7], [0, 0, 1], atol=1e-6) and np.allclose(found[1::7], [0, 0.6, 0.8])


def test_too_few_points_tell_no_surface():
    xyz = floor(0.05)[: NEIGHBOURS - 1]
    with pytest.raises(
        ValueError, match="15 points without normals or faces; to tell the surface at least 16"
    ):
        cloud_normals(xyz, xyz)
    assert len(cloud_normals(xyz, xyz, np.ones_like(xyz))) == 15


def test_points_that_all_lie_in_few_cubes():
    xyz = floor(0.001, 5)
    assert np.allclose(cloud_normals(xyz, xyz + [0, 0, 1]), [0, 0, 1], atol=1e-6)


def test_blocks_do_not_show(monkeypatch):
    xyz = np.random.default_rng(0).random((300, 3))
    whole = point_normals(xyz, xyz + 1)
    monkeypatch.setattr(normals, "BLOCK", 37)
    assert np.array_equal(point_normals(xyz, xyz + 1), whole)
