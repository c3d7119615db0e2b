import math
from functools import partial

import numpy as np
import pytest
import torch

from anyscene.errors import TrainingError
from anyscene.learning.engine import loop
from anyscene.learning.engine.loop import train
from anyscene.learning.engine.sampler import Sampler
from anyscene.learning.engine.schedule import Schedule
from anyscene.learning.objective import Mean, Objective
from anyscene.learning.views.clouds import Clouds, read_training_clouds
from anyscene.networks import normalise_by, read_cloud
from anyscene.networks.batch import as_it_is, join
from anyscene.networks.sparse import minkowski
from anyscene.networks.trained import hidden
from tests.builders import training_rooms
from tests.twins import plain_training

pytestmark = pytest.mark.integration

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


def test_every_step_is_taken_at_the_rate_of_the_schedule(world, monkeypatch):
    """The first one too: set after a step, the rate would be that of the step before."""
    taken, make = [], loop.optimiser_of

    def watched(*given):
        optimiser = make(*given)
        step = optimiser.step
        monkeypatch.setattr(
            optimiser,
            "step",
            lambda: (taken.append([group["lr"] for group in optimiser.param_groups]), step()),
        )
        return optimiser

    monkeypatch.setattr(loop, "optimiser_of", watched)
    _, rows, _ = distil(world, steps=4)
    schedule = Schedule.of(training_rooms.recipe(4, learning_rate=0.01, final_learning_rate=0.001))
    assert taken and all(rate == schedule(step) for step, rates in enumerate(taken) for rate in rates)
    assert [row["learning_rate"] for row in rows] == [schedule(step) for step in range(4)]


@pytest.mark.integration
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


@pytest.mark.integration
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
    clouds = Clouds.held([read_cloud(scenes, superpoints, "room0")])
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
