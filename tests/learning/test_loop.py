import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from anyscene.errors import ConfigError, DataError, TrainingError
from anyscene.learning import (
    Curve,
    Recipe,
    Schedule,
    predict_features,
    read_cloud,
    read_training_clouds,
    train,
)
from anyscene.learning.engine import curve as curves
from anyscene.learning.engine.history import History
from anyscene.learning.objective import Mean, Objective
from anyscene.learning.objectives.distillation import OBJECTIVES, SuperpointDistillation
from anyscene.learning.objectives.ensembling import Ensembling
from anyscene.learning.prediction import predict_hidden
from anyscene.learning.views.data import Sampler, batch
from anyscene.networks import MinkUNet, normalise_by
from anyscene.networks.sparse import minkowski
from anyscene.project import store
from anyscene.project.parameters import Augmentation, load
from tests.builders import REPOSITORY, training_rooms

VOXEL = 0.15


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return training_rooms.write(tmp_path_factory.mktemp("world"), range(3))


def distil(
    world, *, steps=4, objective="superpoint", seed=0, rate=0.01, backend="torch", precision="float32"
):
    scenes, superpoints, fusion = world
    clouds = read_training_clouds(scenes, superpoints)
    torch.manual_seed(seed)
    network = MinkUNet("14A", 3, training_rooms.WIDTH, backend, width=0.25, precision=precision)
    teacher = OBJECTIVES[objective](fusion, 20_000)
    teacher.align(network.final, [cloud.id for cloud in clouds])
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
    cloud, label = training_rooms.room(50)
    feature = predict_features(network, cloud, VOXEL, True)
    assert feature.shape == (len(label), training_rooms.WIDTH)
    assert (np.argmax(feature @ training_rooms.text().T, 1) == label).mean() > 0.6


def test_frozen_statistics_stay_and_normalise_as_in_prediction(world):
    network, _, clouds = distil(world, steps=10)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    scene = batch(clouds[:2], VOXEL, True)
    with torch.no_grad():
        predicted = network.eval().hidden(scene.maps, scene.features)
        normalise_by(network, "frozen")
        assert torch.equal(network.train().hidden(scene.maps, scene.features), predicted)
    recipe = Recipe(Schedule(2, 0.01, 0.01), 2, VOXEL, True, seed=0, batch_norm="frozen")
    train(network, clouds, SuperpointDistillation(world[2], 200), recipe, label="test")
    for name, value in network.state_dict().items():
        statistic = name.endswith(("running_mean", "running_var", "num_batches_tracked"))
        assert torch.equal(value, before[name]) == statistic, name


def test_ensembling_lowers_its_loss_and_is_deterministic(world, tmp_path):
    runs = []
    for run in range(2):
        network, _, clouds = distil(world, steps=10)
        objective = Ensembling(
            torch.from_numpy(training_rooms.text()),
            History(tmp_path / str(run)),
            momentum=0.9,
            temperature=0.5,
            voxel=VOXEL,
            colour=True,
            balance=1.0,
        )
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


class Scripted(Objective):
    """Losses by step: the hidden features' mean times the given factors."""

    def __init__(self, *factors):
        self.factors = iter(factors)

    @property
    def identity(self):
        return {}

    def __call__(self, hidden, final, batch):
        return {"point": Mean.of((hidden.square().mean(1) + 1) * next(self.factors))}


@pytest.mark.parametrize(
    ("factors", "problem"),
    [((1, math.nan), "the loss is nan"), ((1, 1e5), "has grown from"), ((1, 1e38), "not finite|is inf")],
)
def test_a_loss_out_of_bounds_names_the_scenes(world, factors, problem):
    scenes, superpoints, _ = world
    clouds = [read_cloud(scenes, superpoints, "room0")]
    network = MinkUNet("14A", 3, training_rooms.WIDTH, width=0.25)
    recipe = Recipe(Schedule(3, 1e-4, 1e-4), batch=1, voxel=VOXEL, colour=False, seed=0)
    with pytest.raises(TrainingError, match=rf"step 1, scenes room0: .*({problem}|has grown from)"):
        train(network, clouds, Scripted(*factors), recipe, label="test")


def test_a_gradient_that_is_no_number_is_refused(world):
    scenes, superpoints, _ = world
    network = MinkUNet("14A", 3, training_rooms.WIDTH, width=0.25)
    recipe = Recipe(Schedule(3, 1e-4, 1e-4), batch=1, voxel=VOXEL, colour=False, seed=0)

    class Kink(Scripted):
        def __call__(self, hidden, final, batch):
            return {"point": Mean.of((hidden.sum(1) * 0).sqrt())}  # 0, with a slope of infinity times 0

    with pytest.raises(TrainingError, match="room0: a gradient is not finite"):
        train(network, [read_cloud(scenes, superpoints, "room0")], Kink(), recipe, label="test")


def test_gradients_accumulate_to_the_mean_of_the_batches(world):
    """Two batches in one step move the weights by the mean of what each would give."""
    scenes, superpoints, fusion = world
    clouds = read_training_clouds(scenes, superpoints)[:2]

    def gradients(accumulate, turns):
        torch.manual_seed(0)
        network = MinkUNet("14A", 3, training_rooms.WIDTH, "torch", width=0.25)
        recipe = Recipe(
            Schedule(1, 0.0, 0.0), batch=1, voxel=VOXEL, colour=True, seed=0, accumulate=accumulate
        )
        with pytest.MonkeyPatch.context() as patch:
            order = iter(turns)
            patch.setattr(Sampler, "__call__", lambda self, step, place: sampled(next(order)))
            row = train(network, clouds, OBJECTIVES["superpoint"](fusion, 999), recipe, label="test")[0]
        return row["loss"], [p.grad for p in network.parameters()]

    def sampled(turn):
        return turn, np.random.default_rng(turn)

    loss, together = gradients(2, [0, 1])
    (one, first), (other, second) = gradients(1, [0]), gradients(1, [1])
    assert loss == pytest.approx((one + other) / 2, rel=1e-6)
    for whole, a, b in zip(together, first, second, strict=True):
        assert torch.allclose(whole, (a + b) / 2, atol=1e-6)


@pytest.mark.parametrize(
    "wrong",
    [
        {"batch": 0},
        {"accumulate": 0},
        {"voxel": 0.0},
        {"schedule": Schedule(0, 1.0, 1.0)},
        {"augmentation": Augmentation("free", 5.0)},
    ],
)
def test_recipes_that_train_nothing_are_refused(wrong):
    settings = {"schedule": Schedule(1, 1.0, 1.0), "batch": 1, "voxel": 0.1, "colour": True, "seed": 0}
    with pytest.raises(TrainingError, match=r"at least 1|above 0|no probability"):
        Recipe(**settings | wrong)


def test_the_section_of_a_wrong_value_is_named():
    params = load(REPOSITORY / "params.yaml")
    section = replace(params.ensembling, batch=0)
    with pytest.raises(TrainingError, match="section ensembling: batch: 0"):
        Recipe.of(section, voxel=VOXEL, colour=True, augmentation=params.augmentation)


def test_schedules():
    linear = Schedule(110, 1.0, 0.1, warmup=10)
    assert [linear(0), linear(9), linear(10)] == pytest.approx([0.1, 1.0, 1.0])
    assert linear(60) == pytest.approx(0.55)
    assert linear(109) == pytest.approx(0.109)
    assert Schedule(100, 1.0, 0.0, shape="poly")(50) == pytest.approx(0.5**0.9)


def test_places_share_the_scenes_out():
    sampler = Sampler(7, 3, seed=3)
    batches = [[sampler(step, place)[0] for place in range(3)] for step in range(12)]
    assert all(len(set(chosen)) == 3 for chosen in batches)
    for place, share in enumerate(([0, 3, 6], [1, 4], [2, 5])):
        seen = [chosen[place] for chosen in batches]
        for start in range(0, 12, len(share)):  # every round sees the share once
            assert sorted(seen[start : start + len(share)]) == share
    rounds = [tuple(Sampler(9, 1, seed=3)(9 * r + i, 0)[0] for i in range(9)) for r in range(4)]
    assert len({*rounds, tuple(range(9))}) == 5  # each in another order
    again = Sampler(7, 3, seed=3)(7, 1)
    assert (again[0], again[1].random()) == (batches[7][1], sampler(7, 1)[1].random())
    assert sampler(7, 1)[1].random() != sampler(7, 2)[1].random()
    assert Sampler(1, 4, seed=0).batch == 1


def test_scenes_to_train_on(tmp_path):
    def ids(folders):
        return [cloud.id for cloud in read_training_clouds(*folders[:2])]

    assert ids(training_rooms.write(tmp_path / "mixed", range(4), splits=("train", "val"))) == [
        "room0",
        "room2",
    ]
    assert ids(training_rooms.write(tmp_path / "val", range(2), splits=("val",))) == ["room0", "room1"]


def test_superpoints_of_other_points_are_refused(tmp_path):
    scenes, superpoints, _ = training_rooms.write(tmp_path, [0])
    shutil.rmtree(superpoints / "room0.zarr")
    group = store.create(superpoints / "room0.zarr", "key")
    store.write(group, "superpoint", np.zeros(7, np.int32))
    with pytest.raises(DataError, match="room0: 7 superpoint labels"):
        read_cloud(scenes, superpoints, "room0")


def test_batches_keep_their_scenes_apart():
    clouds = [training_rooms.room(seed)[0] for seed in (0, 1)]
    both = batch(clouds, VOXEL, colour=True)
    assert both.start.tolist() == [0, len(both.voxels[0].point), both.maps.size(0)]
    alone = batch(clouds[1:], VOXEL, colour=True)
    assert torch.equal(both.features[both.start[1] :], alone.features)
    assert float(both.features.abs().max()) <= 1
    assert both.names == "room0, room1"
    assert torch.equal(batch(clouds, VOXEL, colour=False).features, torch.ones(both.maps.size(0), 3))


def test_without_augmentation_a_scan_may_lie_anywhere():
    """Where a capture's origin lies does not move its voxels: walls at 0 would else flicker between two."""
    cloud = training_rooms.room(0)[0]
    moved = replace(cloud, xyz=cloud.xyz + np.float32([8, -4, 2]))
    here, there = (batch([c], VOXEL, colour=True) for c in (cloud, moved))
    assert np.array_equal(here.voxels[0].coordinates, there.voxels[0].coordinates)
    same = (here.features == there.features).all(1).float().mean()
    assert same > 0.8  # the shift is rounded: a few points change sides
    assert np.abs(here.voxels[0].coordinates.min(0) + here.voxels[0].coordinates.max(0) + 1).max() <= 1


def test_curves_are_what_dvc_plots_reads(tmp_path):
    rows = [{"step": 0, "loss": 1.5, "rate": 0.1}, {"step": 1, "loss": 0.123456789, "rate": 0.05}]
    Curve(tmp_path).replay([*rows, {"step": 2, "loss": 9.0}])
    Curve(tmp_path).replay(rows)  # begins anew
    assert (tmp_path / "curves/plots/metrics/loss.tsv").read_text() == "step\tloss\n0\t1.5\n1\t0.123456789\n"
    assert [column.tolist() for column in curves.read(tmp_path, "rate")] == [[0, 1], [0.1, 0.05]]
    with pytest.raises(TrainingError, match=r"nothing\.tsv"):
        curves.read(tmp_path, "nothing")


def test_turned_predictions_are_averaged(world):
    network, _, clouds = distil(world, steps=2)
    cloud = clouds[0]
    quarter = replace(cloud, xyz=cloud.xyz @ np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1]], np.float32))
    half = replace(cloud, xyz=cloud.xyz * np.array([-1, -1, 1], np.float32))
    threes = replace(cloud, xyz=quarter.xyz * np.array([-1, -1, 1], np.float32))
    each = [predict_hidden(network, c, VOXEL, True) for c in (cloud, quarter, half, threes)]
    mean = predict_hidden(network, cloud, VOXEL, True, turns=4)
    same = torch.isclose(mean, sum(each) / 4, atol=1e-4).all(1).float().mean()
    assert same > 0.98  # a rounded coordinate may fall into the next voxel
    assert not torch.allclose(mean, each[0], atol=1e-3)
    with pytest.raises(ConfigError, match="turns: 0"):
        predict_hidden(network, cloud, VOXEL, True, turns=0)
