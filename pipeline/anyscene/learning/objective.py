"""What a training minimises: the interface between the training loop and objectives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import nn

from anyscene.arrays import F4
from anyscene.learning.engine.processes import Processes
from anyscene.learning.engine.recent import Recent
from anyscene.learning.views.augmentation import RELEASED, augmented
from anyscene.learning.views.clouds import Clouds
from anyscene.networks import Batch, Cloud, MinkUNet, View
from anyscene.project.parameters import Augmentation, NetworkInput


class Mean(NamedTuple):
    """A term of the loss before division, so that several processes can divide by what all of them have
    seen."""

    total: torch.Tensor  # a scalar, the weighted sum
    weight: float  # the sum of the weights

    @classmethod
    def of(cls, values: torch.Tensor, weights: torch.Tensor | None = None) -> Mean:  # [n], [n]
        """The mean of `values`, weighted by `weights` where these are given."""
        if weights is None:
            return cls(values.sum(), len(values))
        return cls((values * weights).sum(), weights.sum().item())


@dataclass(frozen=True, eq=False)
class Context:
    """What an objective is built from, beside its settings."""

    network: MinkUNet  # that will be trained, in its first state: to copy for a teacher, to ask for widths
    voxel: float  # side in metres
    inputs: NetworkInput  # what the network is given of each voxel
    target: Path  # the folder that the objective learns from, such as data/fusion
    memory: Path  # a folder for its own files that a checkpoint names
    prompts: Callable[[], F4]  # f4[K, C] of length 1: the label set's prompts in the text space
    augmentation: Augmentation = RELEASED
    beside: Path | None = None  # another folder that it learns from, as the entry's key `beside` says
    recent: Recent = field(default_factory=Recent)  # for what it reads of scenes


@dataclass(frozen=True, eq=False)
class ParameterGroup:
    """Parameters that are trained alike. Parameters in no group are frozen, and so are the statistics of
    norms that have no parameter in a group."""

    parameters: Sequence[nn.Parameter]
    rate: float = 1.0  # a factor of the learning rate
    decay: bool = True  # whether the recipe's weight_decay applies


class Objective(nn.Module, ABC):
    """Maps batches to the terms whose sum is the loss.

    Parameters that its constructor makes are optimised and averaged (ema) together with the network's. These
    and its buffers are part of checkpoints. So is a second network, whose parameters take no gradient.

    The loop calls, in this order: `initialise`, only where weights are random; `begin`, or `restore` where
    training continues from a checkpoint; then in every step `before_step`, `forward` for each batch, and
    `after_step`."""

    Settings: ClassVar[type]  # frozen dataclass of its keys in params.yaml
    supervised: ClassVar[bool] = False  # whether LabelledClouds are shown to it

    def __init__(self, settings: Any, context: Context):  # settings: of type Settings
        super().__init__()
        self.settings, self.context = settings, context

    def views(self, cloud: Cloud, rng: np.random.Generator) -> Sequence[View]:
        """The views of `cloud` in a batch, as many for every cloud; by default one, which is augmented.

        Threads call this some steps ahead, so it may depend only on its arguments, settings and context."""
        how = self.context
        return [augmented(cloud, rng, how.voxel, how.inputs, how.augmentation)]

    @abstractmethod
    def forward(self, network: MinkUNet, batch: Batch) -> dict[str, Mean]:
        """The terms of the loss, always with the same names in the same order. It may pass through `network`
        as often as it needs to. batch: the views of several clouds, cloud by cloud. Random choices come from
        `View.random`."""

    def groups(self, network: MinkUNet) -> Sequence[ParameterGroup]:
        """What is trained, and how; by default every parameter of network and objective, with norms and
        biases free of decay. `forward` must use every parameter of a group, because processes wait for its
        gradient."""
        decayed: list[nn.Parameter] = []
        bare: list[nn.Parameter] = []
        for name, parameter in (*network.named_parameters(), *self.named_parameters()):
            if parameter.requires_grad:
                (bare if parameter.ndim < 2 or name.endswith("bias") else decayed).append(parameter)
        return [ParameterGroup(decayed), ParameterGroup(bare, decay=False)]

    def initialise(self, network: MinkUNet, clouds: Clouds) -> None:
        """Called with all training scenes where `network` has random weights. It may set better ones. A cloud
        is read when it is asked for; `clouds.ids` reads none."""
        return None

    def begin(self, network: MinkUNet, clouds: Clouds, processes: Processes) -> None:
        """Called before the first step with the scenes that this process will see."""
        return None

    def before_step(self, done: float) -> None:
        """Called before every step, for schedules. done: the share of the steps that are done, from 0 to less
        than 1."""
        return None

    def after_step(self, network: MinkUNet) -> None:
        """Called when a step has changed the weights, for averages of them."""
        return None

    @property
    def identity(self) -> Mapping[str, Any]:
        """What the terms depend on beside network, batch and context, as values for JSON; by default the name
        of the class and its settings."""
        kind = type(self)
        return {"objective": f"{kind.__module__}:{kind.__qualname__}", "settings": asdict(self.settings)}

    def freeze(self) -> dict[str, Any]:
        """What the objective has learnt of its scenes so far, as values for JSON that stay true while
        training continues. They are part of a checkpoint, beside its parameters and buffers."""
        return {}

    def restore(self, frozen: Sequence[Mapping[str, Any]], scenes: Collection[str]) -> None:
        """Continue, for `scenes`, from what `freeze` returned in every process."""
        return None

    def prune(self) -> None:
        """Called when the last frozen state is safe on disk. Earlier ones may be removed."""
        return None
