"""The one training loop: batches of voxels, an objective, Adam, a curve."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from anyscene.errors import TrainingError
from anyscene.learning.engine.checkpoint import Checkpoints, fingerprint
from anyscene.learning.engine.curve import Curve, Row
from anyscene.learning.engine.processes import Processes
from anyscene.learning.objective import Mean, Objective
from anyscene.learning.views.augmentation import PAPER
from anyscene.learning.views.data import Batch, Cloud, Sampler, batch
from anyscene.networks import MinkUNet, normalise_by
from anyscene.project.parameters import Augmentation, BatchNorm, Training
from anyscene.project.progress import progress

EXPLODED = 1000  # times the first loss
PREPARING = 8  # threads at most, where a GPU computes


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
    """How to train: `batch` scenes at a time in all processes together, the gradients of `accumulate` such
    batches in one step, voxels of `voxel` metres, colours or ones as input, batch norm by the
    statistics of the process's own scenes, shared by all processes, or frozen as they are."""

    schedule: Schedule
    batch: int
    voxel: float
    colour: bool
    seed: int
    augmentation: Augmentation = PAPER
    accumulate: int = 1
    batch_norm: BatchNorm = "own"

    def __post_init__(self) -> None:
        least = {"steps": self.schedule.steps, "batch": self.batch, "accumulate": self.accumulate}
        for name, value in least.items():
            if value < 1:
                raise TrainingError(f"{name}: {value}; training takes at least 1")
        if self.voxel <= 0:
            raise TrainingError(f"network.voxel: {self.voxel}; voxels have a size in metres above 0")
        if not 0 <= self.augmentation.elastic <= 1:
            raise TrainingError(
                f"augmentation.elastic: {self.augmentation.elastic} is no probability, 0 to 1"
            )

    @classmethod
    def of(cls, section: Training, *, voxel: float, colour: bool, augmentation: Augmentation) -> Recipe:
        """As a section of params.yaml says. Raises TrainingError for values that train nothing."""
        schedule = Schedule(
            section.steps,
            section.learning_rate,
            section.final_learning_rate,
            section.warmup,
            section.schedule,
        )
        try:
            return cls(
                schedule,
                section.batch,
                voxel,
                colour,
                section.seed,
                augmentation,
                section.accumulate,
                section.batch_norm,
            )
        except TrainingError as error:
            raise TrainingError(f"section {type(section).__name__.lower()}: {error}") from error


class _Step(nn.Module):
    """Network and objective as one module: what runs in parallel must hold every parameter the loss uses."""

    def __init__(self, network: MinkUNet, objective: Objective):
        super().__init__()
        self.network, self.objective = network, objective

    def forward(self, scenes: Batch) -> dict[str, Mean]:
        hidden = self.network.hidden(scenes.maps, scenes.features)
        return self.objective(hidden, self.network.final, scenes)


def train(
    network: MinkUNet,
    clouds: Sequence[Cloud],
    objective: Objective,
    recipe: Recipe,
    *,
    label: str,
    processes: Processes | None = None,
    checkpoints: Checkpoints | None = None,
    curve: Curve | None = None,
) -> list[Row]:
    """Train `network` in place; returns the curve, one row a step: step, loss, its terms, learning_rate.

    Deterministic: the same network, scenes, recipe and number of threads give the same bits, also where the
    training was stopped and goes on from `checkpoints`, which the caller clears when the network is saved.
    Every process of `processes` (this one alone by default) calls it with the same arguments and ends with
    the same weights.

    Raises TrainingError naming the scenes of the step where the loss or a gradient stops being a number or
    the loss has grown a thousandfold."""
    processes = processes or Processes(network.final.kernel.device)
    sampler = Sampler(len(clouds), recipe.batch, recipe.seed)
    places = processes.share(sampler.batch)
    mine = [clouds[scene] for place in places for scene in sampler.shares[place]]
    optimiser = torch.optim.Adam(network.parameters(), lr=recipe.schedule(0), fused=True)
    steps, rows = recipe.schedule.steps, []

    def prepare(turn: int) -> Batch:
        chosen, random = zip(*(sampler(turn, place) for place in places), strict=True)
        scenes = [clouds[i] for i in chosen]
        ready = batch(scenes, recipe.voxel, recipe.colour, random, processes.device, recipe.augmentation)
        if network.backend == "torch":
            ready.maps.build()
        return ready

    with a_core_for_preparing():
        if checkpoints:
            identity = fingerprint(network, clouds, objective, recipe)
            ids = {cloud.id for cloud in mine}
            rows = checkpoints.resume(identity, network, optimiser, objective, ids, processes)
        if not rows:
            objective.begin(network, mine, processes)
        if curve:
            curve.replay(rows)
        begin = len(rows)
        normalise_by(network, recipe.batch_norm)
        module = _parallel(_Step(network.train(), objective), processes)
        turns = range(begin * recipe.accumulate, steps * recipe.accumulate)
        batches = _ahead(prepare, turns, _threads(processes))
        note = f"{label}, from step {begin} on" if begin else label
        with progress(note, steps - begin if processes.first else 0) as advance:
            for step in range(begin, steps):
                optimiser.zero_grad()
                terms, names = _gradients(module, batches, recipe.accumulate, processes)
                row = {"step": step, "loss": sum(terms.values())} | terms
                _check(row, rows, network, f"{label}, step {step}, scenes {names}")
                row["learning_rate"] = rate = recipe.schedule(step)
                for group in optimiser.param_groups:
                    group["lr"] = rate
                optimiser.step()
                rows.append(row)
                if curve:
                    curve.add(row)
                if checkpoints and step + 1 < steps and processes.sum([checkpoints.due])[0]:
                    checkpoints.save(identity, rows, network, optimiser, objective, processes)
                advance(f"loss {row['loss']:.3f}")
    network.eval()
    return rows


def _parallel(step: _Step, processes: Processes) -> nn.Module:
    """`step`, its gradients averaged over the processes."""
    if processes.world == 1:
        return step
    return DistributedDataParallel(step)


def _gradients(
    module: nn.Module, batches: Iterator[Batch], accumulate: int, processes: Processes
) -> tuple[dict[str, float], str]:
    """Add up the gradients of one step. Returns the value of each term, and the names of the scenes."""
    values: dict[str, float] = {}
    names = []
    for part in range(1, accumulate + 1):
        scenes = next(batches)
        names.append(scenes.names)
        together = part == accumulate or processes.world == 1  # until then every process adds up its own
        with nullcontext() if together else module.no_sync():
            means = module(scenes)
            weights = processes.sum([mean.weight for mean in means.values()])
            terms = {
                name: mean.total / (weight or 1) / accumulate
                for (name, mean), weight in zip(means.items(), weights, strict=True)
            }
            (sum(terms.values()) * processes.world).backward()
        found = processes.sum([term.item() for term in terms.values()])
        for name, value in zip(terms, found, strict=True):
            values[name] = values.get(name, 0.0) + value
    return values, ", ".join(names)


def _check(row: Row, rows: Sequence[Row], network: MinkUNet, where: str) -> None:
    """Raise TrainingError where the step must not be taken."""
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    if not math.isfinite(row["loss"]):
        problem = f"the loss is {row['loss']}"
    elif rows and row["loss"] > EXPLODED * max(rows[0]["loss"], 1e-3):
        problem = f"the loss has grown from {rows[0]['loss']:.3g} to {row['loss']:.3g}"
    elif not torch.nn.utils.get_total_norm(gradients).isfinite():
        problem = "a gradient is not finite"
    else:
        return
    raise TrainingError(
        f"{where}: {problem}; look at their features (`anyscene inspect`) or lower the learning rate"
    )


@contextmanager
def a_core_for_preparing() -> Iterator[None]:
    """torch with one thread less than it may have: on few cores it else waits for the one that prepares."""
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads - 1))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _threads(processes: Processes) -> int:
    """How many prepare batches."""
    if processes.device.type == "cpu":
        return 1
    return max(1, min(PREPARING, (os.cpu_count() or 1) // processes.world))


def _ahead(prepare: Callable[[int], Batch], turns: Sequence[int], threads: int) -> Iterator[Batch]:
    """prepare(turn) of every turn: the next ones are computed in `threads` threads while one is used."""
    with ThreadPoolExecutor(threads) as beside:
        upcoming = deque(beside.submit(prepare, turn) for turn in turns[:threads])
        for turn in turns[threads:]:
            ready = upcoming.popleft().result()
            upcoming.append(beside.submit(prepare, turn))
            yield ready
        while upcoming:
            yield upcoming.popleft().result()
