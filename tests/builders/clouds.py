"""Rooms of the demo as voxel coordinates, i4[V, 4], batch first; beside those of anyscene.testing."""

import numpy as np
import torch

from anyscene.networks.voxels import voxelise
from anyscene_demo.rooms import generate
from anyscene_demo.world import sample_surface


def demo_room(kind: str, size: float, side: float = np.inf) -> torch.Tensor:
    """A room of the demo, its surfaces in voxels of `size` metres; its corner of `side` x `side` metres."""
    mesh = generate(np.random.default_rng(7), "evaluation", kind).mesh
    points, _ = sample_surface(mesh.vertex, mesh.face, size / 2)
    corner = (points[:, :2] - points[:, :2].min(0) < side).all(1)
    voxels = voxelise(points[corner], size).coordinates
    return torch.from_numpy(np.column_stack([np.zeros(len(voxels), np.int32), voxels]))
