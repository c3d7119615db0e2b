import csv
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from pipeline import store
from pipeline.errors import DataError
from pipeline.network import MinkUNet, minkowski
from pipeline.training import (
    Recipe,
    Schedule,
    TrainingError,
    predict_features,
    read_cloud,
    read_training_clouds,
    train,
    write_curve,
)
from pipeline.training.data import Sampler, batch
from pipeline.training.objectives.distillation import OBJECTIVES
from pipeline.training.objectives.ensembling import Ensembling
from tests.training import rooms

VOXEL = 0.15


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return rooms.write(tmp_path_factory.mktemp("world"), range(3))


def distil(
    world, *, steps=4, objective="superpoint", seed=0, rate=0.01, backend="torch", precision="float32"
):
    scenes, superpoints, fusion = world
    clouds = read_training_clouds(scenes, superpoints)
    torch.manual_seed(seed)
    network = MinkUNet("14A", 3, rooms.WIDTH, backend, width=0.25, precision=precision)
    teacher = OBJECTIVES[objective](fusion, 20_000)
    teacher.begin(network.final, [cloud.id for cloud in clouds])
    recipe = Recipe(Schedule(steps, rate, rate / 10, warmup=2), batch=2, voxel=VOXEL, colour=True, seed=seed)
    return network, train(network, clouds, teacher, recipe, label="test"), clouds


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_two_trainings_give_the_same_bits(world, objective, precision):
    first, second = (distil(world, objective=objective, precision=precision) for _ in range(2))
    assert first[1] == second[1]
    for name, tensor in first[0].state_dict().items():
        assert torch.equal(tensor, second[0].state_dict()[name]), name
    assert distil(world, seed=1)[1] != first[1]


def test_distillation_learns_the_classes_of_an_unseen_room(world):
    network, curve, _ = distil(world, steps=60)
    assert np.mean([row["loss"] for row in curve[-5:]]) < 0.5 * curve[0]["loss"]
    cloud, label = rooms.room(50)
    feature = predict_features(network, cloud, VOXEL, True)
    assert feature.shape == (len(label), rooms.WIDTH)
    assert (np.argmax(feature @ rooms.text().T, 1) == label).mean() > 0.6


def test_ensembling_lowers_its_loss_and_is_deterministic(world):
    runs = []
    for _ in range(2):
        network, _, clouds = distil(world, steps=10)
        objective = Ensembling(network, torch.from_numpy(rooms.text()), 0.9, 0.5, VOXEL, colour=True)
        objective.begin(clouds)
        recipe = Recipe(Schedule(8, 0.003, 0.0003), batch=2, voxel=VOXEL, colour=True, seed=0)
        runs.append((train(network, clouds, objective, recipe, label="test"), network))
    assert runs[0][0] == runs[1][0]
    assert torch.equal(runs[0][1].final.kernel, runs[1][1].final.kernel)
    assert runs[0][0][-1]["loss"] < runs[0][0][0]["loss"]


@pytest.mark.minkowski
def test_both_backends_agree_on_the_first_loss(world):
    assert minkowski.available()
    one, other = (distil(world, steps=1, backend=backend)[1][0] for backend in ("torch", "minkowski"))
    assert one["loss"] == pytest.approx(other["loss"], rel=1e-4)


def test_a_loss_that_is_no_number_names_the_scenes(world):
    scenes, superpoints, _ = world
    clouds = [read_cloud(scenes, superpoints, "room0")]
    network = MinkUNet("14A", 3, rooms.WIDTH, width=0.25)
    recipe = Recipe(Schedule(2, 0.01, 0.01), batch=1, voxel=VOXEL, colour=False, seed=0)

    def broken(hidden, final, batch, rng):
        return {"point": hidden.sum() * math.nan}

    with pytest.raises(TrainingError, match="room0"):
        train(network, clouds, broken, recipe, label="test")


def test_schedules():
    linear = Schedule(110, 1.0, 0.1, warmup=10)
    assert [linear(0), linear(9), linear(10)] == pytest.approx([0.1, 1.0, 1.0])
    assert linear(60) == pytest.approx(0.55)
    assert linear(109) == pytest.approx(0.109)
    assert Schedule(100, 1.0, 0.0, shape="poly")(50) == pytest.approx(0.5**0.9)


def test_every_epoch_sees_every_scene_once():
    sampler = Sampler(5, 2, seed=3)
    seen = [scene for step in range(5) for scene in sampler(step)[0]]
    assert sorted(seen[:5]) == sorted(seen[5:]) == list(range(5))
    assert sampler(7)[0] == Sampler(5, 2, seed=3)(7)[0]
    assert sampler(7)[1].random() == Sampler(5, 2, seed=3)(7)[1].random()
    assert len(Sampler(1, 4, seed=0)(0)[0]) == 1


def test_scenes_to_train_on(tmp_path):
    def ids(folders):
        return [cloud.id for cloud in read_training_clouds(*folders[:2])]

    assert ids(rooms.write(tmp_path / "mixed", range(4), splits=("train", "val"))) == ["room0", "room2"]
    assert ids(rooms.write(tmp_path / "val", range(2), splits=("val",))) == ["room0", "room1"]


def test_superpoints_of_other_points_are_refused(tmp_path):
    scenes, superpoints, _ = rooms.write(tmp_path, [0])
    shutil.rmtree(superpoints / "room0.zarr")
    group = store.create(superpoints / "room0.zarr", "key")
    store.write(group, "superpoint", np.zeros(7, np.int32))
    with pytest.raises(DataError, match="room0: 7 superpoint labels"):
        read_cloud(scenes, superpoints, "room0")


def test_batches_keep_their_scenes_apart():
    clouds = [rooms.room(seed)[0] for seed in (0, 1)]
    both = batch(clouds, VOXEL, colour=True)
    assert both.start.tolist() == [0, len(both.voxels[0].point), both.maps.size(0)]
    alone = batch(clouds[1:], VOXEL, colour=True)
    assert torch.equal(both.features[both.start[1] :], alone.features)
    assert float(both.features.abs().max()) <= 1
    assert both.names == "room0, room1"
    assert torch.equal(batch(clouds, VOXEL, colour=False).features, torch.ones(both.maps.size(0), 3))


def test_without_augmentation_a_scan_may_lie_anywhere():
    """Where a capture's origin lies does not move its voxels: walls at 0 would else flicker between two."""
    cloud = rooms.room(0)[0]
    moved = replace(cloud, xyz=cloud.xyz + np.float32([8, -4, 2]))
    here, there = (batch([c], VOXEL, colour=True) for c in (cloud, moved))
    assert np.array_equal(here.voxels[0].coordinates, there.voxels[0].coordinates)
    same = (here.features == there.features).all(1).float().mean()
    assert same > 0.8  # the shift is rounded: a few points change sides
    assert np.abs(here.voxels[0].coordinates.min(0) + here.voxels[0].coordinates.max(0) + 1).max() <= 1


def test_curves_are_tables_of_steps(tmp_path):
    write_curve([{"step": 0, "loss": 1.5}, {"step": 1, "loss": 0.123456789}], tmp_path)
    with open(tmp_path / "curves.csv") as file:
        assert list(csv.DictReader(file)) == [{"step": "0", "loss": "1.5"}, {"step": "1", "loss": "0.123457"}]
