"""The course of the learning rate."""

from __future__ import annotations

import math
from dataclasses import dataclass

from anyscene.project.parameters import Recipe, ScheduleShape

POWER = 0.9  # of poly, as in DeepLab and in the released code of SAS
RISE = 25  # one_cycle begins at its highest rate divided by this (Smith and Topin 2019, PyTorch's default)


@dataclass(frozen=True)
class Schedule:
    """The learning rate of every step: it rises to `start` during the warmup, then falls to `end`.

    It falls linearly; by the power 0.9 (poly); or along half a cosine (cosine, Loshchilov and Hutter 2017
    without restarts). It rises linearly from zero. With one_cycle it rises and falls along half a cosine,
    from a 25th of `start`."""

    steps: int  # of the whole training
    start: float  # the highest rate
    end: float  # the rate after the last step
    warmup: int = 0  # steps in which the rate rises
    shape: ScheduleShape = "linear"

    @classmethod
    def of(cls, recipe: Recipe) -> Schedule:
        """The schedule that an entry of `training` in params.yaml asks for."""
        return cls(
            recipe.steps, recipe.learning_rate, recipe.final_learning_rate, recipe.warmup, recipe.schedule
        )

    def __call__(self, step: int) -> float:
        if self.shape == "one_cycle":
            return self._one_cycle(step)
        if step < self.warmup:
            return self.start * (step + 1) / self.warmup
        left = 1 - (step - self.warmup) / max(1, self.steps - self.warmup)
        if self.shape == "poly":
            left = left**POWER
        elif self.shape == "cosine":
            left = (1 + math.cos(math.pi * (1 - left))) / 2
        return self.end + (self.start - self.end) * left

    def _one_cycle(self, step: int) -> float:
        """As torch.optim.lr_scheduler.OneCycleLR; the highest rate is at the last step of the warmup."""
        top = self.warmup - 1
        if step <= top:
            begin, end, done = self.start / RISE, self.start, step / max(1, top)
        else:
            begin, end, done = self.start, self.end, (step - top) / max(1, self.steps - 1 - top)
        return end + (begin - end) * (1 + math.cos(math.pi * done)) / 2
