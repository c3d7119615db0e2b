"""Means of points in cubes."""

import numpy as np
import pytest

from anyscene.datasets.voxel_means import VoxelMeans


def reference(clouds, voxel):
    """The same by sorting all points."""
    xyz = np.concatenate([xyz for xyz, _, _ in clouds])
    rows = [
        np.column_stack([np.ones(len(x)), x, rgb, np.tile(centre, (len(x), 1))]) for x, rgb, centre in clouds
    ]
    cells, cell = np.unique(np.floor(xyz / voxel).astype(np.int64), axis=0, return_inverse=True)
    sums = np.stack([np.bincount(cell.ravel(), c, len(cells)) for c in np.concatenate(rows).T], 1)
    return sums[:, 1:] / sums[:, :1]


def means(clouds, voxel):
    cubes = VoxelMeans(voxel)
    for cloud in clouds:
        cubes.add(*cloud)
    return cubes.means()


def test_two_cubes_by_hand():
    cubes = VoxelMeans(0.5)
    cubes.add(
        np.array([[0.1, 0, 0], [0.3, 0.4, 0.2]]), np.array([[0, 10, 20], [2, 10, 40]], np.uint8), np.ones(3)
    )
    cubes.add(np.array([[-0.1, 0.2, 0.4]]), np.array([[7, 8, 9]], np.uint8), np.zeros(3))
    assert len(cubes) == 2
    first, second = cubes.means()
    np.testing.assert_array_equal(first, [-0.1, 0.2, 0.4, 7, 8, 9, 0, 0, 0])
    np.testing.assert_allclose(second, [0.2, 0.2, 0.1, 1, 10, 30, 1, 1, 1], rtol=1e-15)


@pytest.mark.parametrize("spread", [0.3, 5.0, 4000.0])
def test_means_are_those_of_sorted_points_to_the_bit(spread):
    rng = np.random.default_rng(3)
    clouds = [
        (
            rng.normal(0, spread, (count, 3)),
            rng.integers(0, 256, (count, 3)).astype(np.uint8),
            rng.normal(0, 1, 3),
        )
        for count in (1, 700, 0, 3000, 40, 5000)
    ]
    np.testing.assert_array_equal(means(clouds, 0.11), reference(clouds, 0.11))


def test_cubes_that_share_a_place_of_the_table_stay_apart():
    step = np.arange(512, dtype=np.float64)
    row = np.stack([step, np.zeros(512), np.zeros(512)], 1) + 0.5
    grid = np.concatenate([row, row[:, [1, 0, 2]], row[:, [1, 2, 0]]])  # one cube thrice
    cubes = VoxelMeans(1.0)
    for part in np.array_split(grid, 40):  # the table grows on the way
        cubes.add(part, np.zeros((len(part), 3), np.uint8), np.zeros(3))
    assert len(cubes) == 3 * 512 - 2
    np.testing.assert_array_equal(cubes.means()[:, :3], np.unique(grid, axis=0))


def test_nothing_has_no_means():
    assert VoxelMeans(0.1).means().shape == (0, 9)
