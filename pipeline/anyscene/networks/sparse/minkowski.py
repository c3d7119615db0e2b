"""Sparse convolution by MinkowskiEngine 0.5.4 (Choy et al. 2019): the `minkowski` backend, float32."""

from __future__ import annotations

import collections
import collections.abc
import warnings
from functools import cache
from types import ModuleType
from typing import Any

import torch

from anyscene.errors import MinkowskiMissing
from anyscene.networks.sparse.coordinates import CoordinateMaps


@cache
def engine() -> ModuleType:
    """The package MinkowskiEngine. Raises MinkowskiMissing where it cannot be imported."""
    for name in ("Sequence", "Mapping", "MutableMapping", "Iterable", "Callable"):
        if not hasattr(collections, name):  # it looks them up where Python < 3.10 had them
            setattr(collections, name, getattr(collections.abc, name))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns that it was built for the CPU
            import MinkowskiEngine
    except (ImportError, OSError, AttributeError) as error:
        raise MinkowskiMissing(
            f"MinkowskiEngine does not import ({error}); run `make minkowski`, or set network.backend: torch"
        ) from error
    module: ModuleType = MinkowskiEngine
    return module


def available() -> bool:
    """Whether MinkowskiEngine imports."""
    try:
        engine()
    except MinkowskiMissing:
        return False
    return True


class MinkowskiSpace:
    """backend.Space on a coordinate manager of MinkowskiEngine, which has its own order of rows."""

    def __init__(self, maps: CoordinateMaps):
        minkowski = engine()
        self.maps = maps
        self.manager = minkowski.CoordinateManager(D=3)
        voxels = maps.voxels
        key, (unique, inverse) = self.manager.insert_and_map(voxels, [1, 1, 1])
        # no voxel comes twice, so either list may be empty, which means that the order was kept
        self.order = unique.long() if len(unique) else torch.arange(len(voxels), device=voxels.device)
        self.inverse = inverse.long() if len(inverse) else torch.arange(len(voxels), device=voxels.device)
        self.levels = [key]
        for _ in range(CoordinateMaps.LEVELS - 1):
            self.levels.append(self.manager.stride(self.levels[-1], [2, 2, 2]))

    def enter(self, features: torch.Tensor) -> torch.Tensor:  # [V, C] -> [U_0, C]
        return self.maps.gather(features).index_select(0, self.order)

    def leave(self, features: torch.Tensor) -> torch.Tensor:  # [U_0, C] -> [V, C]
        return self.maps.spread(features.index_select(0, self.inverse))

    def convolve(self, features: torch.Tensor, kernel: torch.Tensor, level: int, size: int) -> torch.Tensor:
        return self._apply(features, kernel, size, 1, self.levels[level], self.levels[level])

    def down(self, features: torch.Tensor, kernel: torch.Tensor, level: int) -> torch.Tensor:
        return self._apply(features, kernel, 2, 2, self.levels[level], self.levels[level + 1])

    def up(self, features: torch.Tensor, kernel: torch.Tensor, level: int) -> torch.Tensor:
        return self._apply(
            features, kernel, 2, 2, self.levels[level], self.levels[level - 1], transposed=True
        )

    def _apply(
        self,
        features: torch.Tensor,  # [U, Cin]
        kernel: torch.Tensor,  # [K, Cin, Cout]
        size: int,
        stride: int,
        source: Any,  # coordinate map keys of MinkowskiEngine
        target: Any,
        transposed: bool = False,
    ) -> torch.Tensor:
        minkowski = engine()
        function = (
            minkowski.MinkowskiConvolutionTransposeFunction
            if transposed
            else minkowski.MinkowskiConvolutionFunction
        )
        generator = minkowski.KernelGenerator(
            kernel_size=size, stride=stride, dimension=3, is_transpose=transposed
        )
        result: torch.Tensor = function.apply(
            features, kernel, generator, _mode(), source, target, self.manager
        )
        return result


@cache
def _mode() -> Any:
    engine()
    from MinkowskiEngineBackend._C import ConvolutionMode

    return ConvolutionMode.DEFAULT
