"""The one training loop: batches of voxels, an objective, an optimiser, a curve."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from anyscene.errors import TrainingError
from anyscene.learning.engine.average import Average
from anyscene.learning.engine.checkpoint import Checkpoints, State
from anyscene.learning.engine.curve import Curve, Row
from anyscene.learning.engine.processes import Processes
from anyscene.learning.engine.sampler import Sampler
from anyscene.learning.engine.schedule import Schedule
from anyscene.learning.objective import Mean, Objective, ParameterGroup
from anyscene.learning.views.clouds import Clouds
from anyscene.networks import Batch, MinkUNet, View, normalise_by
from anyscene.networks.batch import join
from anyscene.networks.minkunet import BatchNorm
from anyscene.project.parameters import Recipe
from anyscene.project.progress import progress

EXPLODED = 1000  # a loss so many times the first one stops the training
PREPARING = 8  # at most so many threads prepare batches where a GPU computes


class LossModule(nn.Module):
    """Network and objective as one module. What runs in parallel must hold every parameter of the loss."""

    def __init__(self, network: MinkUNet, objective: Objective):
        super().__init__()
        self.network, self.objective = network, objective

    def forward(self, batch: Batch) -> dict[str, Mean]:
        terms: dict[str, Mean] = self.objective(self.network, batch)
        return terms


def train(
    network: MinkUNet,
    clouds: Clouds,
    objective: Objective,
    recipe: Recipe,
    *,
    label: str,
    processes: Processes | None = None,
    checkpoints: Checkpoints | None = None,
    curve: Curve | None = None,
    until: int | None = None,
) -> list[Row]:
    """Train `network` and `objective` in place, and return the curve, a row for each step: step, loss, its
    terms, and learning_rate.

    Training is deterministic: the same network, scenes, recipe and number of threads give the same bits, also
    where it was stopped and continues from `checkpoints`. The caller clears these when the network is saved.
    Every process of `processes` (by default only this one) calls `train` with the same arguments and ends
    with the same weights. With `until` only so many of the recipe's steps are done.

    Raises TrainingError naming the scenes of the step in which the loss or a gradient is not finite, or the
    loss has grown a thousandfold."""
    processes = processes or Processes(network.final.kernel.device)
    sampler = Sampler(len(clouds), recipe.batch, recipe.seed)
    places = processes.share(sampler.batch)
    mine = clouds.at(scene for place in places for scene in sampler.shares[place])
    schedule, rows = Schedule.of(recipe), []

    def prepare(turn: int) -> Batch:
        views: list[View] = []
        for place in places:
            scene, random = sampler(turn, place)
            views += objective.views(clouds[scene], random)
        ready = join(views, processes.device)
        if network.backend == "torch":
            ready.maps.build()
        return ready

    step_module = LossModule(network, objective)
    groups = objective.groups(network)
    normalise_by(network, recipe.batch_norm)
    with a_core_for_preparing(), only(groups, step_module) as trained:
        optimiser = optimiser_of(groups, recipe)
        average = Average(step_module, recipe.ema) if recipe.ema else None
        state = State(network, objective, optimiser, average)
        if checkpoints:
            identity = checkpoints.fingerprint(network, objective, recipe)
            rows = checkpoints.resume(identity, state, set(mine.ids), processes)
        if not rows:
            objective.begin(network, mine, processes)
            if average:
                average.load(step_module.state_dict())
        if curve:
            curve.replay(rows)
        begin, end = len(rows), recipe.steps if until is None else min(until, recipe.steps)
        network.train()
        module = _parallel(step_module, processes)
        turns = range(begin * recipe.accumulate, end * recipe.accumulate)
        batches = _ahead(prepare, turns, _threads(processes))
        note = f"{label}, from step {begin} on" if begin else label
        with progress(note, end - begin if processes.first else 0) as advance:
            for step in range(begin, end):
                objective.before_step(step / recipe.steps)
                optimiser.zero_grad()
                terms, names = _gradients(module, batches, recipe.accumulate, processes)
                row = {"step": step, "loss": sum(terms.values())} | terms
                norm = torch.nn.utils.get_total_norm([p.grad for p in trained if p.grad is not None])
                _check(row, rows, norm, f"{label}, step {step}, scenes {names}")
                row["learning_rate"] = schedule(step)
                for group in optimiser.param_groups:
                    group["lr"] = row["learning_rate"] * group["rate"]
                if recipe.clip:
                    torch.nn.utils.clip_grads_with_norm_(trained, recipe.clip, norm)
                optimiser.step()
                objective.after_step(network)
                if average:
                    average.update(step_module)
                rows.append(row)
                if curve:
                    curve.add(row)
                if checkpoints and step + 1 < recipe.steps and processes.sum([checkpoints.due])[0]:
                    checkpoints.save(identity, rows, state, processes)
                advance(f"loss {row['loss']:.3f}")
    if average:
        step_module.load_state_dict(average.state)
    network.eval()
    return rows


def optimiser_of(groups: Sequence[ParameterGroup], recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW where the recipe says `adamw`, else Adam. The learning rate is set at every step."""
    kind = torch.optim.AdamW if recipe.optimiser == "adamw" else torch.optim.Adam
    settings = [
        {
            "params": list(group.parameters),
            "rate": group.rate,
            "weight_decay": recipe.weight_decay if group.decay else 0.0,
        }
        for group in groups
    ]
    return kind(settings, fused=True)


@contextmanager
def only(groups: Sequence[ParameterGroup], step: LossModule) -> Iterator[list[nn.Parameter]]:
    """Within this context only the parameters of `groups` take gradients; it yields them. Norms of the
    network that have no parameter among them normalise by their running statistics."""
    trained = [parameter for group in groups for parameter in group.parameters]
    places = {id(parameter) for parameter in trained}
    before = [(parameter, parameter.requires_grad) for parameter in step.parameters()]
    frozen = [
        (norm, norm.statistics)
        for norm in step.network.modules()
        if isinstance(norm, BatchNorm) and not any(id(parameter) in places for parameter in norm.parameters())
    ]
    for parameter, _ in before:
        parameter.requires_grad_(id(parameter) in places)
    for norm, _ in frozen:
        norm.statistics = "frozen"
    try:
        yield trained
    finally:
        for parameter, wanted in before:
            parameter.requires_grad_(wanted)
        for norm, statistics in frozen:
            norm.statistics = statistics


def _parallel(step: LossModule, processes: Processes) -> nn.Module:
    """`step`, with gradients that are averaged over the processes."""
    if processes.world == 1:
        return step
    return DistributedDataParallel(step)


def _gradients(
    module: nn.Module, batches: Iterator[Batch], accumulate: int, processes: Processes
) -> tuple[dict[str, float], str]:
    """Add up the gradients of one step, and return the value of each term and the names of the scenes."""
    values: dict[str, float] = {}
    names: list[str] = []
    for part in range(1, accumulate + 1):
        batch = next(batches)
        names += dict.fromkeys(view.cloud.id for view in batch.views)
        # before the last part every process adds up its own gradients
        parallel = module if isinstance(module, DistributedDataParallel) and part < accumulate else None
        with nullcontext() if parallel is None else parallel.no_sync():
            means = module(batch)
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


def _check(row: Row, rows: Sequence[Row], norm: torch.Tensor, where: str) -> None:
    """Raise TrainingError where the step must not be taken. norm: that of all gradients together."""
    if not math.isfinite(row["loss"]):
        problem = f"the loss is {row['loss']}"
    elif rows and row["loss"] > EXPLODED * max(rows[0]["loss"], 1e-3):
        problem = f"the loss has grown from {rows[0]['loss']:.3g} to {row['loss']:.3g}"
    elif not norm.isfinite():
        problem = "a gradient is not finite"
    else:
        return
    raise TrainingError(
        f"{where}: {problem}; look at their features (`anyscene inspect`) or lower the learning rate"
    )


@contextmanager
def a_core_for_preparing() -> Iterator[None]:
    """Within this context torch uses one thread fewer. On few cores its threads would otherwise wait for the
    one that prepares batches."""
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads - 1))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _threads(processes: Processes) -> int:
    """How many threads prepare batches."""
    if processes.device.type == "cpu":
        return 1
    return max(1, min(PREPARING, (os.cpu_count() or 1) // processes.world))


def _ahead(prepare: Callable[[int], Batch], turns: Sequence[int], threads: int) -> Iterator[Batch]:
    """Yield prepare(turn) for every turn. While one is used, `threads` threads compute the next ones."""
    with ThreadPoolExecutor(threads) as beside:
        upcoming = deque(beside.submit(prepare, turn) for turn in turns[:threads])
        for turn in turns[threads:]:
            ready = upcoming.popleft().result()
            upcoming.append(beside.submit(prepare, turn))
            yield ready
        while upcoming:
            yield upcoming.popleft().result()
