"""What a training minimises: the interface between the loop and its objectives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import nn

from anyscene.learning.engine.processes import Processes
from anyscene.learning.views.augmentation import PAPER, augmented
from anyscene.networks import Batch, Cloud, Inputs, MinkUNet, View
from anyscene.project.parameters import Augmentation


class Mean(NamedTuple):
    """A term of the loss before it is divided, so that several processes can divide by what all have seen."""

    total: torch.Tensor  # a scalar
    weight: float  # of what was summed

    @classmethod
    def of(cls, values: torch.Tensor, weights: torch.Tensor | None = None) -> Mean:  # [n], [n]
        """The mean of `values`, by `weights` where there are any."""
        if weights is None:
            return cls(values.sum(), len(values))
        return cls((values * weights).sum(), weights.sum().item())


@dataclass(frozen=True, eq=False)
class Context:
    """What an objective is built in, beside its settings."""

    network: MinkUNet  # to be trained, as it begins: copied for a teacher, asked for its widths
    voxel: float  # metres
    inputs: Inputs
    target: Path  # folder that it learns from, data/fusion for one
    memory: Path  # folder for files of its own that a checkpoint names
    prompts: Callable[[], np.ndarray]  # unit f4[K, C]: the label set's prompts in the text space
    augmentation: Augmentation = PAPER


@dataclass(frozen=True, eq=False)
class ParameterGroup:
    """Parameters that are trained alike. Those in no group are frozen, as are the statistics of norms that
    have none."""

    parameters: Sequence[nn.Parameter]
    rate: float = 1.0  # times the learning rate
    decay: bool = True  # whether the recipe's weight_decay applies


class Objective(nn.Module, ABC):
    """Maps batches to the terms whose sum is the loss.

    Parameters that it makes in its constructor are optimised and averaged (ema) with the network's, and with
    its buffers they are a part of checkpoints; so is a second network, whose parameters take no gradient.

    The loop calls, in this order: `initialise`, of random weights alone; `begin`, or `restore` where a
    checkpoint is taken up; then for every step `before_step`, `forward` of each batch, `after_step`."""

    Settings: ClassVar[type]  # frozen dataclass of its keys in params.yaml
    supervised: ClassVar[bool] = False  # whether it is shown LabelledClouds

    def __init__(self, settings: Any, context: Context):  # settings: of type Settings
        super().__init__()
        self.settings, self.context = settings, context

    def views(self, cloud: Cloud, rng: np.random.Generator) -> Sequence[View]:
        """What a batch shows of `cloud`, always as many views; by default one, augmented.

        Threads call it some steps ahead: it depends on its arguments, settings and context alone."""
        how = self.context
        return [augmented(cloud, rng, how.voxel, how.inputs, how.augmentation)]

    @abstractmethod
    def forward(self, network: MinkUNet, batch: Batch) -> dict[str, Mean]:
        """The terms of the loss, always the same names in the same order, by as many passes through `network`
        as it takes. batch: the views of several clouds, one cloud's after the other's. Random choices come
        from `View.random`."""

    def groups(self, network: MinkUNet) -> Sequence[ParameterGroup]:
        """What is trained, and how; by default every parameter of network and objective, norms and biases
        without decay. `forward` uses every parameter that is in a group: processes wait for its gradient."""
        decayed, bare = [], []
        for name, parameter in (*network.named_parameters(), *self.named_parameters()):
            if parameter.requires_grad:
                (bare if parameter.ndim < 2 or name.endswith("bias") else decayed).append(parameter)
        return [ParameterGroup(decayed), ParameterGroup(bare, decay=False)]

    def initialise(self, network: MinkUNet, clouds: Sequence[Cloud]) -> None:
        """Called with all training scenes where `network` has random weights: may set some that fit."""
        return None

    def begin(self, network: MinkUNet, clouds: Sequence[Cloud], processes: Processes) -> None:
        """Called before the first step with the scenes that this process will see."""
        return None

    def before_step(self, done: float) -> None:
        """Called before every step; done: share of the steps that are, 0 to less than 1. For schedules."""
        return None

    def after_step(self, network: MinkUNet) -> None:
        """Called when a step has changed the weights. For averages of them."""
        return None

    @property
    def identity(self) -> Mapping[str, Any]:
        """What the terms depend on beside network, batch and context, as plain values; by default the class
        and its settings."""
        kind = type(self)
        return {"objective": f"{kind.__module__}:{kind.__qualname__}", "settings": asdict(self.settings)}

    def freeze(self) -> dict[str, Any]:
        """What the objective has learnt of its scenes so far, as plain values that stay true while training
        goes on: part of a checkpoint, beside its parameters and buffers."""
        return {}

    def restore(self, frozen: Sequence[Mapping[str, Any]], scenes: Collection[str]) -> None:
        """Take up, for `scenes`, what `freeze` gave in every process."""
        return None

    def prune(self) -> None:
        """The last frozen state is safe: earlier ones may go."""
        return None
