"""The small interface between the network and what computes its sparse convolutions."""

from __future__ import annotations

from typing import Protocol

import torch


class Space(Protocol):
    """The voxels of one batch at levels 0..4 (strides 1, 2, 4, 8, 16).

    Features of a level are [U_level, C]; each backend has its own order of their rows. Kernels are
    [K, Cin, Cout] with the K offsets in MinkowskiEngine's order."""

    def enter(self, features: torch.Tensor) -> torch.Tensor:  # [V, C] -> [U_0, C]
        """The features of voxels: the mean of the given rows that share a voxel."""
        ...

    def leave(self, features: torch.Tensor) -> torch.Tensor:  # [U_0, C] -> [V, C]
        """The features of voxels at the rows that were given: each row gets those of its voxel."""
        ...

    def convolve(self, features: torch.Tensor, kernel: torch.Tensor, level: int, size: int) -> torch.Tensor:
        """Convolution of odd `size` and stride 1: [U_level, Cin] -> [U_level, Cout]."""
        ...

    def down(self, features: torch.Tensor, kernel: torch.Tensor, level: int) -> torch.Tensor:
        """Convolution of size 2 and stride 2: [U_level, Cin] -> [U_(level+1), Cout]."""
        ...

    def up(self, features: torch.Tensor, kernel: torch.Tensor, level: int) -> torch.Tensor:
        """Transposed convolution of size 2 and stride 2 onto the voxels that exist: [U_level, Cin] ->
        [U_(level-1), Cout]."""
        ...
