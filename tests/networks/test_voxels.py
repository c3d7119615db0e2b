import numpy as np
import pytest

from anyscene.errors import CoordinatesError
from anyscene.networks.voxels import FARTHEST, voxelise


def test_points_meet_in_the_voxel_they_lie_in():
    xyz = np.array([[0.01, 0.0, 0.0], [0.12, 0.0, 0.0], [-0.01, 0.0, 0.0], [0.04, 0.03, 0.09]], np.float32)
    voxels = voxelise(xyz, 0.1)
    assert voxels.coordinates[voxels.voxel].tolist() == [[0, 0, 0], [1, 0, 0], [-1, 0, 0], [0, 0, 0]]
    assert voxels.point[voxels.voxel].tolist() == [0, 1, 2, 0]
    assert len(voxels.coordinates) == 3


def test_voxelisation_equals_a_loop():
    rng = np.random.default_rng(0)
    xyz = rng.uniform(-2, 3, (3000, 3)).astype(np.float32)
    values = rng.integers(0, 256, (3000, 3)).astype(np.uint8)
    voxels = voxelise(xyz, 0.4)
    members = {}
    for i, cell in enumerate(np.floor(xyz / 0.4).astype(int)):
        members.setdefault(tuple(cell), []).append(i)
    assert len(members) == len(voxels.point)
    mean = voxels.mean(values)
    for v, cell in enumerate(voxels.coordinates):
        inside = members[tuple(cell)]
        assert voxels.point[v] == inside[0]
        assert np.allclose(mean[v], values[inside].mean(0), rtol=1e-5)


@pytest.mark.parametrize("far", [1e9, -1e9, 1e30, np.inf, np.nan])
def test_a_point_too_far_off_is_refused_before_it_is_cast(far):
    """Its cell would be another one, and all other points would meet in one."""
    xyz = np.zeros((5, 3), np.float32)
    xyz[3, 2] = far
    with pytest.raises(CoordinatesError, match=r"point 3 at \[.*\] m lies too far off for voxels of 0\.05 m"):
        voxelise(xyz, 0.05)


def test_corners_of_the_widest_box_stay_apart():
    side = np.float32(FARTHEST - 1)
    xyz = np.array(
        [[x, y, z] for x in (-side, side) for y in (-side, side) for z in (-side, side)], np.float32
    )
    found = voxelise(xyz, 1.0)
    assert np.array_equal(found.coordinates[found.voxel], xyz.astype(np.int64))
