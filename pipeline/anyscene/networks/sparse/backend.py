"""The small interface between the network and what computes its sparse convolutions."""

from __future__ import annotations

from typing import Protocol

import torch


class Space(Protocol):
    """The voxels of one batch at levels 0..4 (strides 1, 2, 4, 8, 16); features of a level are [U_level,
    C], their rows in an order that is the backend's own. Kernels are [K, Cin, Cout], K in
    MinkowskiEngine's order."""

    def enter(self, features: torch.Tensor) -> torch.Tensor:  # [V, C] -> [U_0, C]
        """Features of the given rows as voxel features: the mean of the rows that share a voxel."""
        ...

    def leave(self, features: torch.Tensor) -> torch.Tensor:  # [U_0, C] -> [V, C]
        """Voxel features at the given rows."""
        ...

    def convolve(self, features: torch.Tensor, kernel: torch.Tensor, level: int, size: int) -> torch.Tensor:
        """Stride 1, odd `size`: [U_level, Cin] -> [U_level, Cout]."""
        ...

    def down(self, features: torch.Tensor, kernel: torch.Tensor, level: int) -> torch.Tensor:
        """Size 2, stride 2: [U_level, Cin] -> [U_(level+1), Cout]."""
        ...

    def up(self, features: torch.Tensor, kernel: torch.Tensor, level: int) -> torch.Tensor:
        """Transposed size 2, stride 2, onto the voxels that exist: [U_level, Cin] -> [U_(level-1), Cout]."""
        ...
