"""The course of the learning rate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from anyscene.project.parameters import Recipe

POWER = 0.9  # of poly, as DeepLab and the released code have it
RISE = 25  # one_cycle begins at this part of its highest rate (Smith and Topin 2019, as PyTorch has it)


@dataclass(frozen=True)
class Schedule:
    """Learning rate of every step: up to `start` during `warmup`, then down to `end`.

    Down linearly; by the power 0.9 (poly); along half a cosine (Loshchilov and Hutter 2017, no restarts). Up
    linearly from zero; with one_cycle along half a cosine from a 25th of `start`."""

    steps: int
    start: float
    end: float
    warmup: int = 0  # steps
    shape: Literal["linear", "poly", "cosine", "one_cycle"] = "linear"

    @classmethod
    def of(cls, recipe: Recipe) -> Schedule:
        """As a section of params.yaml says."""
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
        """torch.optim.lr_scheduler.OneCycleLR, whose highest rate is at the last step of the warmup."""
        top = self.warmup - 1
        if step <= top:
            begin, end, done = self.start / RISE, self.start, step / max(1, top)
        else:
            begin, end, done = self.start, self.end, (step - top) / max(1, self.steps - 1 - top)
        return end + (begin - end) * (1 + math.cos(math.pi * done)) / 2
