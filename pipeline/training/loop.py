"""The one training loop: batches of voxels, an objective, Adam, a curve."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch

from pipeline.config import Augmentation
from pipeline.errors import PipelineError
from pipeline.network import MinkUNet
from pipeline.network.minkunet import Convolution
from pipeline.progress import progress
from pipeline.training.augmentation import PAPER
from pipeline.training.data import Batch, Cloud, Sampler, batch

CURVES = "curves.csv"
Prepared = tuple[Batch, np.random.Generator]  # what a step works on, and where its random choices come from


class TrainingError(PipelineError):
    """The loss is not a number."""


class Objective(Protocol):
    """What is minimised."""

    def __call__(
        self, hidden: torch.Tensor, final: Convolution, batch: Batch, rng: np.random.Generator
    ) -> dict[str, torch.Tensor]:
        """hidden [V,H] of the batch's voxels, and the layer that makes features of them -> terms of the
        loss."""
        ...


@dataclass(frozen=True)
class Schedule:
    """Learning rate: `warmup` steps up from zero, then `linear` (or with power `poly`) from `start` down
    to `end`."""

    steps: int
    start: float
    end: float
    warmup: int = 0
    shape: Literal["linear", "poly"] = "linear"
    power: float = 0.9

    def __call__(self, step: int) -> float:
        if step < self.warmup:
            return self.start * (step + 1) / self.warmup
        left = 1 - (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.end + (self.start - self.end) * (left if self.shape == "linear" else left**self.power)


@dataclass(frozen=True)
class Recipe:
    """How to train: `batch` scenes a step, voxels of `voxel` metres, colours or ones as input."""

    schedule: Schedule
    batch: int
    voxel: float
    colour: bool
    seed: int
    augmentation: Augmentation = PAPER


def train(
    network: MinkUNet, clouds: Sequence[Cloud], objective: Objective, recipe: Recipe, *, label: str
) -> list[dict[str, float]]:
    """Train `network` in place; returns the curve, one row a step: step, loss, its terms, learning_rate.

    Deterministic: the same network, scenes, recipe and number of threads give the same bits. Raises
    TrainingError naming the scenes of the step where the loss stops being a number."""
    sampler = Sampler(len(clouds), recipe.batch, recipe.seed)
    optimiser = torch.optim.Adam(network.parameters(), lr=recipe.schedule(0), fused=True)
    curve = []
    network.train()
    device = network.final.kernel.device

    def prepare(step: int) -> Prepared:
        chosen, rng = sampler(step)
        scenes = batch(
            [clouds[i] for i in chosen], recipe.voxel, recipe.colour, rng, device, recipe.augmentation
        )
        if network.backend == "torch":
            scenes.maps.build()
        return scenes, rng

    steps = recipe.schedule.steps
    with progress(label, steps) as advance, a_core_for_preparing():
        for step, (scenes, rng) in enumerate(_ahead(prepare, steps)):
            rate = recipe.schedule(step)
            for group in optimiser.param_groups:
                group["lr"] = rate
            terms = objective(network.hidden(scenes.maps, scenes.features), network.final, scenes, rng)
            loss = sum(terms.values())
            if not math.isfinite(loss.item()):
                raise TrainingError(
                    f"{label}: the loss is {loss.item()} at step {step}, scenes {scenes.names}; look at "
                    "their features (`anyscene inspect`) or lower the learning rate"
                )
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            curve.append(
                {
                    "step": step,
                    "loss": loss.item(),
                    **{k: v.item() for k, v in terms.items()},
                    "learning_rate": rate,
                }
            )
            advance(f"loss {loss.item():.3f}")
    network.eval()
    return curve


@contextmanager
def a_core_for_preparing() -> Iterator[None]:
    """torch with one thread less than it may have: on few cores it else waits for the one that prepares."""
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads - 1))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _ahead(prepare: Callable[[int], Prepared], steps: int) -> Iterator[Prepared]:
    """prepare(0), prepare(1), ...: each computed in a thread while its predecessor is used."""
    with ThreadPoolExecutor(1) as beside:
        upcoming = beside.submit(prepare, 0)
        for step in range(1, steps):
            ready, upcoming = upcoming.result(), beside.submit(prepare, step)
            yield ready
        yield upcoming.result()


def write_curve(curve: Sequence[dict[str, float]], folder: Path) -> None:
    """curves.csv in `folder`, as `dvc plots` reads it."""
    partial = Path(folder) / f".{CURVES}.partial"
    with open(partial, "w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(curve[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: v if k == "step" else f"{v:.6g}" for k, v in row.items()} for row in curve)
    os.replace(partial, Path(folder) / CURVES)
