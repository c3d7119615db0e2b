"""A training that tests stop and take up again, in a process of its own."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch

from anyscene.learning.engine.checkpoint import Checkpoints
from anyscene.learning.engine.loop import train
from anyscene.learning.views.clouds import read_training_clouds
from tests.builders import training_rooms

STEPS = 40
SECONDS = 0.1  # between checkpoints: some steps are lost at every stop


@dataclass(frozen=True)
class Announced:
    """A curve that announces the number of each step."""

    announce: Callable[[int], object]

    def replay(self, rows):
        for row in rows:
            self.add(row)

    def add(self, row):
        self.announce(row["step"])


def run(
    world: Path,
    checkpoints: Path,
    out: Path,
    *,
    seed: int = 0,
    steps: int = STEPS,
    announce: Callable[[int], object] = print,
) -> None:
    """Train on the rooms in `world`; weights and losses -> out."""
    torch.set_num_threads(1)
    clouds = read_training_clouds(world / "scenes", world / "superpoints")
    network = training_rooms.network(seed)
    context = training_rooms.context(network, world / "fusion", checkpoints / "memory")
    objective = training_rooms.objective(
        "ensembling", context, points_per_scene=200, momentum=0.8, temperature=1.0, balance=0.5
    )
    recipe = training_rooms.recipe(steps, seed=seed, warmup=4, accumulate=2)
    kept = Checkpoints(checkpoints, SECONDS)
    rows = train(
        network,
        clouds,
        objective,
        recipe,
        label="test",
        checkpoints=kept,
        curve=Announced(announce),
    )
    losses = torch.tensor([[value for value in row.values()] for row in rows], dtype=torch.float64)
    safetensors.torch.save_file({**network.state_dict(), "curve": losses}, out)
    kept.clear()
