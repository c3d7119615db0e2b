import math
import shutil
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from anyscene.errors import ConfigError, DataError, TrainingError
from anyscene.learning.engine import curve as curves
from anyscene.learning.engine import loop
from anyscene.learning.engine.curve import Curve
from anyscene.learning.engine.loop import train
from anyscene.learning.engine.sampler import Sampler
from anyscene.learning.engine.schedule import Schedule
from anyscene.learning.objective import Mean, Objective
from anyscene.learning.views.clouds import read_training_clouds
from anyscene.networks import normalise_by, read_cloud
from anyscene.networks.batch import as_it_is, join
from anyscene.networks.sparse import minkowski
from anyscene.networks.trained import hidden
from anyscene.project import store
from anyscene.project.parameters import Augmentation
from tests.builders import training_rooms
from tests.twins import plain_training

VOXEL = training_rooms.VOXEL
KINDS = ("superpoint", "pixel")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return training_rooms.write(tmp_path_factory.mktemp("world"), range(3))


def distil(
    world, *, steps=4, objective="superpoint", seed=0, rate=0.01, backend="torch", precision="float32"
):
    scenes, superpoints, fusion = world
    clouds = read_training_clouds(scenes, superpoints)
    network = training_rooms.network(seed, precision, backend)
    teacher = training_rooms.objective(objective, training_rooms.context(network, fusion))
    teacher.initialise(network, clouds)
    recipe = training_rooms.recipe(steps, learning_rate=rate, final_learning_rate=rate / 10, seed=seed)
    return network, train(network, clouds, teacher, recipe, label="test"), clouds


@pytest.mark.parametrize("objective", KINDS)
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
    with torch.no_grad():
        feature = network.final(hidden(network, cloud, VOXEL, "colour")).numpy()
    assert feature.shape == (len(label), training_rooms.WIDTH)
    assert (np.argmax(feature @ training_rooms.text().T, 1) == label).mean() > 0.6


def test_frozen_statistics_stay_and_normalise_as_in_prediction(world):
    network, _, clouds = distil(world, steps=10)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    scene = join([as_it_is(cloud, VOXEL, "colour") for cloud in clouds[:2]])
    with torch.no_grad():
        predicted = network.eval().hidden(scene.maps, scene.features)
        normalise_by(network, "frozen")
        assert torch.equal(network.train().hidden(scene.maps, scene.features), predicted)
    recipe = training_rooms.recipe(2, final_learning_rate=0.01, warmup=0, batch_norm="frozen")
    context = training_rooms.context(network, world[2])
    teacher = training_rooms.objective("superpoint", context, points_per_scene=200)
    train(network, clouds, teacher, recipe, label="test")
    for name, value in network.state_dict().items():
        statistic = name.endswith(("running_mean", "running_var", "num_batches_tracked"))
        assert torch.equal(value, before[name]) == statistic, name


def test_ensembling_lowers_its_loss_and_is_deterministic(world, tmp_path):
    runs = []
    for run in range(2):
        network, _, clouds = distil(world, steps=10)
        context = training_rooms.context(network, world[2], tmp_path / str(run))
        objective = training_rooms.objective("ensembling", context, loss="code")
        recipe = training_rooms.recipe(8, learning_rate=0.003, final_learning_rate=0.0003, warmup=0)
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
    """The loss of each step is the mean of the hidden features times one of `factors`."""

    def __init__(self, context, *factors):
        super().__init__(None, context)
        self.factors = iter(factors)

    def forward(self, network, batch):
        hidden = network.hidden(batch.maps, batch.features)
        return {"point": Mean.of((hidden.square().mean(1) + 1) * next(self.factors))}


def scripted(world, kind, *factors):
    """Train on one room by `kind`."""
    scenes, superpoints, fusion = world
    network = training_rooms.network()
    recipe = training_rooms.recipe(3, batch=1, learning_rate=1e-4, final_learning_rate=1e-4, warmup=0)
    context = training_rooms.context(network, fusion, inputs="geometry")
    clouds = [read_cloud(scenes, superpoints, "room0")]
    return train(network, clouds, kind(context, *factors), recipe, label="test")


@pytest.mark.parametrize(
    ("factors", "problem"),
    [((1, math.nan), "the loss is nan"), ((1, 1e5), "has grown from"), ((1, 1e38), "not finite|is inf")],
)
def test_a_loss_out_of_bounds_names_the_scenes(world, factors, problem):
    with pytest.raises(TrainingError, match=rf"step 1, scenes room0: .*({problem}|has grown from)"):
        scripted(world, Scripted, *factors)


def test_a_gradient_that_is_no_number_is_refused(world):
    class Kink(Scripted):
        def forward(self, network, batch):
            hidden = network.hidden(batch.maps, batch.features)
            return {"point": Mean.of((hidden.sum(1) * 0).sqrt())}  # 0, with a slope of infinity times 0

    with pytest.raises(TrainingError, match="room0: a gradient is not finite"):
        scripted(world, Kink)


def test_gradients_accumulate_to_the_mean_of_the_batches(world):
    """Two batches in one step move the weights by the mean of what each would give."""
    scenes, superpoints, fusion = world
    clouds = read_training_clouds(scenes, superpoints)[:2]

    def gradients(accumulate, turns):
        network = training_rooms.network()
        recipe = training_rooms.recipe(
            1, batch=1, accumulate=accumulate, learning_rate=0.0, final_learning_rate=0.0, warmup=0
        )
        teacher = training_rooms.objective("superpoint", training_rooms.context(network, fusion))
        with pytest.MonkeyPatch.context() as patch:
            order = iter(turns)
            patch.setattr(Sampler, "__call__", lambda self, step, place: sampled(next(order)))
            row = train(network, clouds, teacher, recipe, label="test")[0]
        return row["loss"], [p.grad for p in network.parameters()]

    def sampled(turn):
        return turn, np.random.default_rng(turn)

    loss, together = gradients(2, [0, 1])
    (one, first), (other, second) = gradients(1, [0]), gradients(1, [1])
    assert loss == pytest.approx((one + other) / 2, rel=1e-6)
    for whole, a, b in zip(together, first, second, strict=True):
        assert torch.allclose(whole, (a + b) / 2, atol=1e-6)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"batch": 0}, "batch: 0; training takes at least 1"),
        ({"accumulate": 0}, "accumulate: 0; training takes at least 1"),
        ({"steps": 0}, "steps: 0; training takes at least 1"),
        ({"learning_rate": math.nan}, "learning_rate: must be 0 or more, not nan"),
        ({"final_learning_rate": -1.0}, r"final_learning_rate: must be 0 or more, not -1\.0"),
        ({"warmup": -1}, "warmup: must be 0 or more"),
        ({"clip": -1.0}, "clip: must be 0 or more"),
        ({"optimiser": "adamw", "weight_decay": -0.1}, "weight_decay: must be 0 or more"),
        ({"weight_decay": 0.1}, r"weight_decay: 0\.1 needs the optimiser adamw"),
        ({"ema": 1.0}, r"ema: 1\.0 is not a share"),
    ],
)
def test_recipes_that_train_nothing_are_refused(wrong, message):
    with pytest.raises(ConfigError, match=f"^{message}"):
        training_rooms.recipe(**{"steps": 1} | wrong)


def test_augmentations_that_are_none_are_refused():
    with pytest.raises(ConfigError, match=r"augmentation\.elastic: must be 0 to 1, not 5\.0"):
        Augmentation("free", 5.0)


def test_schedules():
    linear = Schedule(110, 1.0, 0.1, warmup=10)
    assert [linear(0), linear(9), linear(10)] == pytest.approx([0.1, 1.0, 1.0])
    assert linear(60) == pytest.approx(0.55)
    assert linear(109) == pytest.approx(0.109)
    assert Schedule(100, 1.0, 0.0, shape="poly")(50) == pytest.approx(0.5**0.9)


def rates(scheduler, steps):
    """The learning rate of each step by one of PyTorch's schedulers."""
    found = []
    for _ in range(steps):
        found.append(scheduler.get_last_lr()[0])
        scheduler.optimizer.step()
        scheduler.step()
    return found


def test_schedules_are_pytorchs():
    def sgd(rate):
        return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], rate)

    cosine = Schedule(20, 1.0, 0.1, shape="cosine")
    wanted = rates(torch.optim.lr_scheduler.CosineAnnealingLR(sgd(1.0), 20, eta_min=0.1), 20)
    assert [cosine(step) for step in range(20)] == pytest.approx(wanted)
    late = Schedule(25, 1.0, 0.1, warmup=5, shape="cosine")
    assert [late(step) for step in range(5)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert [late(step) for step in range(5, 25)] == pytest.approx(wanted)
    one = Schedule(20, 1.0, 0.01, warmup=6, shape="one_cycle")
    wanted = rates(
        torch.optim.lr_scheduler.OneCycleLR(
            sgd(1.0), 1.0, total_steps=20, pct_start=0.3, cycle_momentum=False, final_div_factor=4
        ),
        20,
    )
    assert [one(step) for step in range(20)] == pytest.approx(wanted)
    assert one(5) == 1.0 and one(0) == pytest.approx(1 / 25)


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
    views = [as_it_is(cloud, VOXEL, "colour") for cloud in clouds]
    both = join(views)
    assert both.start.tolist() == [0, len(views[0].voxels.point), both.maps.size(0)]
    alone = both.select([1])
    assert alone.views == (views[1],) and alone.maps.size(0) == len(views[1].features)
    assert torch.equal(both.features[both.start[1] :], alone.features)
    assert float(both.features.abs().max()) <= 1
    assert [view.cloud.id for view in both.views] == ["room0", "room1"]
    ones = join([as_it_is(cloud, VOXEL, "geometry") for cloud in clouds])
    assert torch.equal(ones.features, torch.ones(both.maps.size(0), 3))


def test_without_augmentation_a_scan_may_lie_anywhere():
    """Where a capture's origin lies does not move its voxels: walls at 0 would else flicker between two."""
    cloud = training_rooms.room(0)[0]
    moved = replace(cloud, xyz=cloud.xyz + np.float32([8, -4, 2]))
    here, there = (as_it_is(c, VOXEL, "colour") for c in (cloud, moved))
    assert np.array_equal(here.voxels.coordinates, there.voxels.coordinates)
    same = (here.features == there.features).all(1).mean()
    assert same > 0.8  # the shift is rounded: a few points change sides
    assert np.abs(here.voxels.coordinates.min(0) + here.voxels.coordinates.max(0) + 1).max() <= 1


def test_curves_are_what_dvc_plots_reads(tmp_path):
    rows = [{"step": 0, "loss": 1.5, "rate": 0.1}, {"step": 1, "loss": 0.123456789, "rate": 0.05}]
    Curve(tmp_path).replay([*rows, {"step": 2, "loss": 9.0}])
    Curve(tmp_path).replay(rows)  # begins anew
    assert (tmp_path / "curves/plots/metrics/loss.tsv").read_text() == "step\tloss\n0\t1.5\n1\t0.123456789\n"
    assert [column.tolist() for column in curves.read(tmp_path, "rate")] == [[0, 1], [0.1, 0.05]]
    with pytest.raises(TrainingError, match=r"nothing\.tsv"):
        curves.read(tmp_path, "nothing")


@pytest.mark.parametrize("kind", [*KINDS, "ensembling"])
def test_by_default_it_is_the_plainest_loop_bit_for_bit(world, tmp_path, kind):
    found = []
    for name, run in (("loop", partial(train, label="test")), ("plain", plain_training.train)):
        clouds = read_training_clouds(*world[:2])
        network = training_rooms.network()
        context = training_rooms.context(network, world[2], tmp_path / name)
        objective = training_rooms.objective(kind, context, points_per_scene=150)
        recipe = training_rooms.recipe(4, accumulate=2)
        with loop.a_core_for_preparing():
            losses = run(network, clouds, objective, recipe)
        found.append((losses, network.state_dict()))
    (rows, fast), (losses, slow) = found
    assert [row["loss"] for row in rows] == losses
    assert all(torch.equal(fast[name], slow[name]) for name in slow)
