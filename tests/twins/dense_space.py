"""The slow, readable twin of the sparse backends: dense convolutions on the box that holds the voxels.

For tests only: memory and time grow with the volume of the box.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from anyscene.networks.sparse.coordinates import CoordinateMaps


class DenseSpace:
    """anyscene.networks.sparse.backend.Space by torch's own conv3d."""

    def __init__(self, maps: CoordinateMaps):
        self.maps = maps
        voxels = maps.voxels.long()
        corner = (
            voxels[:, 1:].amin(0) // 16 * 16
        )  # a multiple of the coarsest stride: levels nest as in the sparse case
        self.cell = voxels - functional.pad(corner, (1, 0))  # [U, 4]
        extent = self.cell.amax(0) + 1
        self.shape = (int(extent[0]), *(-(-int(n) // 16) * 16 for n in extent[1:]))

    def enter(self, features: torch.Tensor) -> torch.Tensor:  # [V, C] -> [U_0, C]
        return self.maps.gather(features)

    def leave(self, features: torch.Tensor) -> torch.Tensor:  # [U_0, C] -> [V, C]
        return self.maps.spread(features)

    def convolve(self, features: torch.Tensor, kernel: torch.Tensor, level: int, size: int) -> torch.Tensor:
        return self._sparse(
            functional.conv3d(self._dense(features, level), _weight(kernel, size), padding=size // 2), level
        )

    def down(self, features: torch.Tensor, kernel: torch.Tensor, level: int) -> torch.Tensor:
        return self._sparse(
            functional.conv3d(self._dense(features, level), _weight(kernel, 2), stride=2), level + 1
        )

    def up(self, features: torch.Tensor, kernel: torch.Tensor, level: int) -> torch.Tensor:
        weight = _weight(kernel, 2).transpose(0, 1)
        return self._sparse(
            functional.conv_transpose3d(self._dense(features, level), weight, stride=2), level - 1
        )

    def _cells(self, level: int) -> tuple[torch.Tensor, ...]:
        """(batch, z, y, x) of the level's voxels, in the order of the sparse backend's rows."""
        cell = self.cell.clone()
        cell[:, 1:] >>= level
        # rows of one coarse voxel are neighbours in the sparse order, so keeping first appearances keeps
        # that order
        _, index = torch.unique_consecutive(cell, dim=0, return_inverse=True)
        first = torch.full((int(index[-1]) + 1,), len(cell)).scatter_reduce_(
            0, index, torch.arange(len(cell)), "amin"
        )
        batch, x, y, z = cell[first].T
        return batch, z, y, x

    def _dense(self, features: torch.Tensor, level: int) -> torch.Tensor:  # [U_level, C] -> [B, C, Z, Y, X]
        batch, z, y, x = self._cells(level)
        count, width, depth, height = self.shape[0], *(n >> level for n in self.shape[1:])
        grid = features.new_zeros(count, height, depth, width, features.shape[1])
        return grid.index_put((batch, z, y, x), features).permute(0, 4, 1, 2, 3)

    def _sparse(self, grid: torch.Tensor, level: int) -> torch.Tensor:  # [B, C, Z, Y, X] -> [U_level, C]
        batch, z, y, x = self._cells(level)
        return grid.permute(0, 2, 3, 4, 1)[batch, z, y, x]


def _weight(kernel: torch.Tensor, size: int) -> torch.Tensor:
    """[K, Cin, Cout], x fastest -> [Cout, Cin, size (z), size (y), size (x)]"""
    return kernel.view(size, size, size, *kernel.shape[1:]).permute(4, 3, 0, 1, 2)
