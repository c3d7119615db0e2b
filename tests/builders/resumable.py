"""A training that tests stop and take up again, in a process of its own."""

import sys
from pathlib import Path

import safetensors.torch
import torch

from anyscene.learning import Checkpoints, Recipe, Schedule, read_training_clouds, train
from anyscene.learning.engine.history import History
from anyscene.learning.objective import Sum
from anyscene.learning.objectives.distillation import SuperpointDistillation
from anyscene.learning.objectives.ensembling import Ensembling
from anyscene.networks import MinkUNet
from tests.builders import training_rooms

STEPS = 40
SECONDS = 0.1  # between checkpoints: some steps are lost at every stop


class Announced:
    """A curve that says each step aloud."""

    def replay(self, rows):
        for row in rows:
            self.add(row)

    def add(self, row):
        print(row["step"], flush=True)


def run(world: Path, checkpoints: Path, out: Path, *, seed: int = 0, steps: int = STEPS) -> None:
    """Train on the rooms in `world`; weights and losses -> out."""
    torch.set_num_threads(1)
    clouds = read_training_clouds(world / "scenes", world / "superpoints")
    torch.manual_seed(seed)
    network = MinkUNet("14A", 3, training_rooms.WIDTH, "torch", width=0.25)
    objective = Sum(
        distillation=SuperpointDistillation(world / "fusion", 200),
        ensembling=Ensembling(
            torch.from_numpy(training_rooms.text()),
            History(checkpoints / "history"),
            momentum=0.8,
            temperature=1.0,
            voxel=0.15,
            colour=True,
            balance=0.5,
        ),
    )
    recipe = Recipe(
        Schedule(steps, 0.01, 0.001, warmup=4), batch=2, voxel=0.15, colour=True, seed=seed, accumulate=2
    )
    kept = Checkpoints(checkpoints, SECONDS)
    rows = train(
        network,
        clouds,
        objective,
        recipe,
        label="test",
        checkpoints=kept,
        curve=Announced(),
    )
    losses = torch.tensor([[value for value in row.values()] for row in rows], dtype=torch.float64)
    safetensors.torch.save_file({**network.state_dict(), "curve": losses}, out)
    kept.clear()


if __name__ == "__main__":
    run(*map(Path, sys.argv[1:]))
