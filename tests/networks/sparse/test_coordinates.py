import numpy as np
import pytest
import torch

from anyscene.networks import CoordinateMaps, CoordinatesError
from anyscene.testing.clouds import CLOUDS, random_cloud


@pytest.mark.parametrize("name", CLOUDS)
def test_rows_find_their_voxel(name):
    maps = CoordinateMaps(CLOUDS[name])
    assert torch.equal(maps.voxels[maps.row], CLOUDS[name])
    assert len(torch.unique(maps.voxels, dim=0)) == maps.size(0)


@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("level", [0, 1, 3])
def test_neighbours_equal_a_search_by_dictionary(size, level):
    maps = CoordinateMaps(random_cloud(400, 2, -12, 9, 5))
    place = {tuple(v): i for i, v in enumerate(voxels_of(maps, level))}
    expected = np.array(
        [
            [
                place.get(
                    (
                        b,
                        x + k % size - size // 2,
                        y + k // size % size - size // 2,
                        z + k // size**2 - size // 2,
                    ),
                    len(place),
                )
                for k in range(size**3)
            ]
            for b, x, y, z in place
        ]
    )
    assert np.array_equal(maps.neighbours(level, size).table.numpy(), expected)


def test_the_inner_cube_of_a_larger_kernel_is_the_smaller_kernel():
    cloud = random_cloud(300, 1, 0, 8, 6)
    alone, after_five = CoordinateMaps(cloud), CoordinateMaps(cloud)
    after_five.neighbours(0, 5)
    assert torch.equal(after_five.neighbours(0, 3).table, alone.neighbours(0, 3).table)


@pytest.mark.parametrize("rows", [7, 1000])
def test_blocks_of_pairs_are_the_columns_of_the_table(rows):
    around = CoordinateMaps(random_cloud(200, 2, 0, 7, 7)).neighbours(0, 3)
    count = len(around.table)
    blocks = around.blocks(rows)
    assert len(blocks) == -(-count // rows)
    for block, pairs in enumerate(blocks):
        table = around.table[block * rows : (block + 1) * rows]
        for k, (source, target) in enumerate(pairs):
            met = torch.nonzero(table[:, k] < count).squeeze(1)
            assert torch.equal(target.long(), met + block * rows)
            assert torch.equal(source, table[met, k])


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_families_join_voxels_with_the_coarser_voxel_around_them(level):
    maps = CoordinateMaps(random_cloud(400, 2, -17, 14, 8))
    fine, coarse = voxels_of(maps, level), voxels_of(maps, level + 1)
    joined = 0
    for place, (child, parent) in enumerate(maps.families(level)):
        corner = np.array([place & 1, place >> 1 & 1, place >> 2])
        assert np.array_equal(fine[child.numpy(), 1:], 2 * coarse[parent.numpy(), 1:] + corner)
        assert np.array_equal(fine[child.numpy(), 0], coarse[parent.numpy(), 0])
        joined += len(child)
    assert joined == maps.size(level)


def test_rows_of_one_voxel_are_averaged():
    maps = CoordinateMaps(torch.tensor([[0, 1, 1, 1], [0, 2, 1, 1], [0, 1, 1, 1]], dtype=torch.int32))
    voxel = maps.gather(torch.tensor([[1.0], [5.0], [2.0]]))
    assert maps.spread(voxel).flatten().tolist() == [1.5, 5.0, 1.5]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (np.zeros((3, 3), np.int32), r"must be integers \[V,4\] \(batch, x, y, z\), not int32 \[3, 3\]"),
        (np.zeros((3, 4), np.float32), r"must be integers \[V,4\] \(batch, x, y, z\), not float32 \[3, 4\]"),
        (np.array([[0, 70_000, 0, 0]], np.int32), r"must lie within \d+ of the origin"),
        (np.array([[-1, 0, 0, 0]], np.int32), r"and the batch index in 0\.\.\d+"),
    ],
)
def test_unusable_coordinates_are_refused(wrong, said):
    with pytest.raises(CoordinatesError, match=said):
        CoordinateMaps(wrong)


def voxels_of(maps: CoordinateMaps, level: int) -> np.ndarray:
    """i8[U,4] of a level, in its own units: floor division of the finest, in order of first appearance."""
    voxels = maps.voxels.numpy().astype(np.int64)
    voxels[:, 1:] >>= level
    _, first = np.unique(voxels, axis=0, return_index=True)
    return voxels[np.sort(first)]
