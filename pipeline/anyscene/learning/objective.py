"""What a training minimises: the interface between the loop and its objectives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import torch

from anyscene.learning.engine.processes import Processes
from anyscene.learning.views.data import Batch, Cloud
from anyscene.networks import MinkUNet
from anyscene.networks.minkunet import Convolution


class Mean(NamedTuple):
    """A term of the loss before it is divided, so that several processes can divide by what all have seen:
    total, a scalar; weight, of what was summed."""

    total: torch.Tensor
    weight: float

    @classmethod
    def of(cls, values: torch.Tensor, weights: torch.Tensor | None = None) -> Mean:  # [n], [n]
        """The mean of `values`, by `weights` where there are any."""
        if weights is None:
            return cls(values.sum(), len(values))
        return cls((values * weights).sum(), weights.sum().item())


class Objective(ABC):
    """Maps the network's hidden features to the terms whose sum is the loss."""

    @abstractmethod
    def __call__(self, hidden: torch.Tensor, final: Convolution, batch: Batch) -> dict[str, Mean]:
        """hidden [V,H] of the batch's voxels, and the layer that makes features of them -> terms of the
        loss, always the same names in the same order. Random choices come from `batch.random`."""

    def begin(self, network: MinkUNet, clouds: Sequence[Cloud], processes: Processes) -> None:  # noqa: B027
        """Called once before the first step with the scenes that this process will see."""

    @property
    @abstractmethod
    def identity(self) -> Mapping[str, Any]:
        """Everything that the terms depend on beside network and batch, as plain values."""

    def freeze(self) -> dict[str, Any]:
        """What the objective has learnt of its scenes so far, as plain values that stay true while training
        goes on: part of a checkpoint."""
        return {}

    def restore(self, frozen: Sequence[Mapping[str, Any]], scenes: Collection[str]) -> None:  # noqa: B027
        """Take up, for `scenes`, what `freeze` gave in every process."""

    def prune(self) -> None:  # noqa: B027
        """The last frozen state is safe: earlier ones may go."""


class Sum(Objective):
    """Several objectives at once; their terms keep apart by name."""

    def __init__(self, **parts: Objective):
        self.parts = parts

    def __call__(self, hidden: torch.Tensor, final: Convolution, batch: Batch) -> dict[str, Mean]:
        return {
            f"{name}_{term}": mean
            for name, part in self.parts.items()
            for term, mean in part(hidden, final, batch).items()
        }

    def begin(self, network: MinkUNet, clouds: Sequence[Cloud], processes: Processes) -> None:
        for part in self.parts.values():
            part.begin(network, clouds, processes)

    @property
    def identity(self) -> Mapping[str, Any]:
        return {name: part.identity for name, part in self.parts.items()}

    def freeze(self) -> dict[str, Any]:
        return {name: part.freeze() for name, part in self.parts.items()}

    def restore(self, frozen: Sequence[Mapping[str, Any]], scenes: Collection[str]) -> None:
        for name, part in self.parts.items():
            part.restore([of_process[name] for of_process in frozen], scenes)

    def prune(self) -> None:
        for part in self.parts.values():
            part.prune()
