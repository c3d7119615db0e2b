"""Training in two processes over gloo against one, in float64: no rounding blurs the comparison."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import distributed, multiprocessing

from anyscene.errors import TrainingError
from anyscene.learning.engine import loop
from anyscene.learning.engine.processes import Processes
from anyscene.learning.objectives.superpoint import Settings
from anyscene.learning.objectives.superpoint.objective import SuperpointDistillation
from anyscene.learning.views.clouds import read_training_clouds
from tests.builders import training_rooms

pytestmark = pytest.mark.integration


class DoubleTargets(SuperpointDistillation):
    def targets(self, batch):
        row, owner, target = super().targets(batch)
        return row, owner, target.double()


def distil(rank, world, folder):
    """Six steps in float64; the first process writes its losses and the weights that it ends with."""
    torch.set_num_threads(1)
    store = f"file://{folder}/meeting{world}"
    distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=world)
    single = loop.join

    def double(*arguments):
        ready = single(*arguments)
        return replace(ready, features=ready.features.double())

    loop.join = double
    clouds = read_training_clouds(folder / "scenes", folder / "superpoints")
    network = training_rooms.network().double()
    teacher = DoubleTargets(
        Settings(points_per_scene=20_000), training_rooms.context(network, folder / "fusion")
    )
    teacher.initialise(network, clouds)
    recipe = training_rooms.recipe(6, warmup=1, batch_norm="shared")
    processes = Processes(torch.device("cpu"), rank, world)
    rows = loop.train(network, clouds, teacher, recipe, label="test", processes=processes)
    if processes.first:
        losses = [row["loss"] for row in rows]
        np.savez(folder / f"{world}.npz", losses, *(p.detach().numpy() for p in network.parameters()))
    distributed.destroy_process_group()


def test_two_processes_train_as_one_does(tmp_path):
    """Exactly so at any rate: in float32 Adam makes whole steps of rounding errors, here they stay small."""
    training_rooms.write(tmp_path, range(3))
    for world in (1, 2):
        multiprocessing.spawn(distil, (world, tmp_path), world)
    one, two = (np.load(tmp_path / f"{world}.npz") for world in (1, 2))
    assert len(one["arr_0"]) == 6
    assert one["arr_0"][-1] < 0.8 * one["arr_0"][0]
    for name, values in one.items():
        assert np.abs(values - two[name]).max() < 1e-9, name


def test_a_batch_that_does_not_divide_is_refused():
    with pytest.raises(TrainingError, match="3 scenes does not divide among 2 processes"):
        Processes(torch.device("cpu"), rank=0, world=2).share(3)
