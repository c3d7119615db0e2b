import numpy as np

from anyscene.networks.voxels import voxelise


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
