"""Voxel coordinates with which sparse networks have gone wrong before: i4[V, 4], batch index first."""

from __future__ import annotations

import numpy as np
import torch


def random_cloud(voxels: int, batch: int, low: int, high: int, seed: int) -> torch.Tensor:
    """i4[voxels, 4]: a batch index in 0..batch-1 and three coordinates in low..high-1. A voxel may come
    twice."""
    rng = np.random.default_rng(seed)
    return torch.from_numpy(
        np.column_stack([rng.integers(0, batch, voxels), rng.integers(low, high, (voxels, 3))]).astype(
            np.int32
        )
    )


def room(size: float, seed: int = 0) -> torch.Tensor:
    """i4[V, 4]: a floor, two walls and a box, 2.4 m wide and slightly noisy, in voxels of `size` metres."""
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(0, 2.4, (2, 20_000))
    flat = rng.normal(0, 0.01, 20_000)
    walls = [
        np.stack(p, 1) for p in ((a, b, flat), (a, flat, b), (flat, a, b), (a / 4 + 1, b / 4 + 1, flat + 0.5))
    ]
    voxel = np.unique(np.floor(np.concatenate(walls) / size).astype(np.int32), axis=0)
    return torch.from_numpy(np.column_stack([np.zeros(len(voxel), np.int32), voxel]))


CLOUDS = {
    "batch of three": random_cloud(500, 3, 0, 12, 0),
    "negative coordinates": random_cloud(400, 2, -21, 5, 1),
    "duplicates": torch.cat([random_cloud(300, 2, -5, 9, 2)] * 2)[
        torch.randperm(600, generator=torch.Generator().manual_seed(0))
    ],
    "single voxel": torch.tensor([[0, -3, 4, 7]], dtype=torch.int32),
    "far from the origin": random_cloud(200, 1, 0, 9, 3)
    + torch.tensor([0, 60_000, -60_000, 999], dtype=torch.int32),
    "room at 5 cm": room(0.05),
}
