"""What the recipes of the zoo share: the schedule of the learning rate and the averaging of weights."""

import torch
from torch import nn


def rise_and_fall(step: int, warm_up: int, steps: int, begun: int = 0) -> float:
    """The factor of the learning rate: it rises linearly from step `begun`, stays at 1, and falls linearly to
    zero over the last third."""
    return min(1.0, (step - begun + 1) / warm_up, 3 * (steps - step) / steps)


@torch.no_grad()
def move_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Move the exponential moving average of the parameters towards those of `model`."""
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)
