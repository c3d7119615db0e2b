"""A moving average of weights. It is steadier than the weights of the last step."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn


class Average:
    """The exponential moving average of Tarvainen and Valpola 2017, of parameters and running statistics
    alike: after every step average = momentum average + (1 - momentum) state."""

    def __init__(self, module: nn.Module, momentum: float):
        self.momentum = momentum
        self.state = {name: value.detach().clone() for name, value in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Move towards the state of `module` after a step."""
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                self.state[name].lerp_(value, 1 - self.momentum)
            else:
                self.state[name].copy_(value)  # counts

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        """Continue from a `state` that was saved."""
        for name, value in self.state.items():
            value.copy_(state[name])
