"""What the loop does for an objective: views, own parameters and passes, hooks, groups, averages."""

from dataclasses import fields, replace

import pytest
import torch
from torch import distributed, multiprocessing

from anyscene.errors import TrainingError
from anyscene.learning.engine.checkpoint import Checkpoints
from anyscene.learning.engine.loop import LossModule, optimiser_of, train
from anyscene.learning.engine.processes import Processes
from anyscene.learning.objective import ParameterGroup
from anyscene.learning.views.clouds import read_labelled_clouds, read_training_clouds
from anyscene.project import parameters
from anyscene.project.parameters import OBJECTIVES
from tests.builders import REPOSITORY, training_rooms
from tests.builders.objectives import FROZEN, MaskedSettings, MaskedViews, Probe, ProbeSettings

pytestmark = pytest.mark.integration

STEPS = 5
SETTINGS = MaskedSettings(masked=0.3, momentum=0.8, sharpness=1.5)
EVERYTHING = {
    "optimiser": "adamw",
    "weight_decay": 0.05,
    "schedule": "cosine",
    "clip": 0.5,
    "ema": 0.7,
    "accumulate": 2,
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    training_rooms.write(folder, range(3))
    training_rooms.write_labels(folder, range(3))
    return folder


def masked(world, memory, settings=SETTINGS):
    network = training_rooms.network()
    return network, MaskedViews(settings, training_rooms.context(network, world / "fusion", memory))


def learn(world, memory, *, checkpoints=None, processes=None, **changes):
    """(network, objective, rows) of a training that uses all there is."""
    clouds = read_training_clouds(world / "scenes", world / "superpoints")
    network, objective = masked(world, memory)
    recipe = training_rooms.recipe(**{"steps": STEPS} | EVERYTHING | changes)
    rows = train(
        network, clouds, objective, recipe, label="test", checkpoints=checkpoints, processes=processes
    )
    return network, objective, rows


def weights(network, objective):
    parts = {"n": network, "o": objective}
    return {f"{p}.{name}": value for p, part in parts.items() for name, value in part.state_dict().items()}


def last(network):
    """The kernel of the last layer that it trains."""
    return network.block8[0].conv2.kernel


def test_an_objective_may_use_everything(world, tmp_path):
    before = weights(*masked(world, tmp_path))
    network, objective, rows = learn(world, tmp_path)
    assert [list(row) for row in rows] == [["step", "loss", "views", "length", "learning_rate"]] * STEPS
    assert objective.heard == [step / STEPS for step in range(STEPS)]
    for name, value in weights(network, objective).items():
        stays = any(f".{layer}." in f".{name}." and "block" not in name for layer in FROZEN)
        if not name.startswith("o.teacher") or not name.endswith("num_batches_tracked"):
            assert torch.equal(value, before[name]) == stays, name
    assert all(p.requires_grad for p in network.parameters())  # as before the training


@pytest.fixture(scope="module")
def whole(world, tmp_path_factory):
    return learn(world, tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("key", EVERYTHING)
def test_every_key_changes_what_is_learnt(world, tmp_path, whole, key):
    less = {key: getattr(training_rooms.recipe(1), key)}
    if key == "optimiser":
        less["weight_decay"] = 0.0
    other = learn(world, tmp_path, **less)
    assert not torch.equal(last(whole[0]), last(other[0]))


RECIPE = {  # of every key of a recipe another value than learn's
    **{"seed": 1, "steps": STEPS + 1, "batch": 1, "accumulate": 1, "optimiser": "adam", "clip": 0.25},
    **{"learning_rate": 0.02, "final_learning_rate": 0.005, "schedule": "linear", "warmup": 0, "ema": 0.3},
    **{"weight_decay": 0.2, "batch_norm": "frozen"},
}


@pytest.mark.parametrize("key", [field.name for field in fields(parameters.Recipe)])
def test_every_key_of_a_recipe_changes_what_is_learnt(world, tmp_path, whole, key):
    more = {"weight_decay": 0.0} if key == "optimiser" else {}
    assert learn(world, tmp_path)[2] == whole[2]
    other = learn(world, tmp_path, **{key: RECIPE[key]} | more)
    assert not torch.equal(last(whole[0]), last(other[0]))


OTHER = {  # of every setting of every objective
    **{"points_per_scene": 50, "start": "code", "loss": "code", "momentum": 0.1, "temperature": 2.0},
    **{"balance": 3.0, "points_per_process": 50, "superpoint_mean": "voxels", "align": False},
}


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        (kind, field.name)
        for kind in OBJECTIVES.names()
        for field in fields(OBJECTIVES.get(kind).settings)
        if (kind, field.name) != ("pixel", "superpoint_mean")  # it has no superpoints
    ],
)
def test_every_setting_of_an_objective_changes_what_is_learnt(world, tmp_path, kind, key):
    def learnt(**settings):
        clouds = read_training_clouds(world / "scenes", world / "superpoints")
        network = training_rooms.network()
        context = training_rooms.context(network, world / "fusion", tmp_path / "memory")
        objective = training_rooms.objective(kind, context, **settings)
        objective.initialise(network, clouds)
        train(network, clouds, objective, training_rooms.recipe(4), label="test")
        return last(network)

    assert torch.equal(learnt(), learnt())
    assert not torch.equal(learnt(), learnt(**{key: OTHER[key]}))


def test_stopped_at_every_step_it_ends_with_the_same_bits(world, tmp_path, whole):
    for step in range(1, STEPS):
        checkpoints = Checkpoints(tmp_path / "checkpoints", 0)
        save = checkpoints.save

        def stop(identity, rows, *rest, save=save, step=step):
            save(identity, rows, *rest)
            if len(rows) == step:
                raise KeyboardInterrupt

        checkpoints.save = stop
        with pytest.raises(KeyboardInterrupt):
            learn(world, tmp_path / "memory", checkpoints=checkpoints)
    checkpoints = Checkpoints(tmp_path / "checkpoints", 0)
    network, objective, rows = learn(world, tmp_path / "memory", checkpoints=checkpoints)
    assert objective.heard == [(STEPS - 1) / STEPS]  # one step was left
    assert rows == whole[2]
    resumed, undisturbed = weights(network, objective), weights(*whole[:2])
    for name, value in undisturbed.items():
        assert torch.equal(resumed[name], value), name


@pytest.mark.parametrize("changed", ["files", "data", "settings", "voxel", "recipe"])
def test_a_checkpoint_of_other_files_data_or_settings_does_not_count(world, tmp_path, changed):
    network, objective = masked(world, tmp_path)
    recipe = training_rooms.recipe(2)

    def fingerprint(given="a", data="key", objective=objective, recipe=recipe):
        checkpoints = Checkpoints(tmp_path, 0, given=given, data={"room0": [data]})
        return checkpoints.fingerprint(network, objective, recipe)

    titled = parameters.load(REPOSITORY / "params.yaml").training["distilled"]
    assert fingerprint(recipe=titled) == fingerprint(recipe=replace(titled, title="another"))
    assert fingerprint() == fingerprint()
    other = {
        "files": lambda: fingerprint(given="b"),
        "data": lambda: fingerprint(data="other key"),
        "settings": lambda: fingerprint(objective=masked(world, tmp_path, MaskedSettings(0.4, 0.8, 1.5))[1]),
        "voxel": lambda: fingerprint(
            objective=MaskedViews(
                objective.settings, training_rooms.context(network, world / "fusion", voxel=0.2)
            )
        ),
        "recipe": lambda: fingerprint(recipe=training_rooms.recipe(2, clip=1.0)),
    }
    assert other[changed]() != fingerprint()


GENTLY = {"batch_norm": "shared", "learning_rate": 1e-4, "final_learning_rate": 1e-5}


def in_processes(rank, folder):
    """The whole training in two processes; the first writes what it ends with."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    processes = Processes(torch.device("cpu"), rank, 2)
    network, objective, rows = learn(folder, folder / "memory", processes=processes, **GENTLY)
    if processes.first:
        torch.save((rows, weights(network, objective)), folder / "two.pt")
    distributed.destroy_process_group()


@pytest.mark.integration
def test_two_processes_train_it_as_one_does(world):
    """Parameters of the objective, hooks and averages are the same in every process."""
    multiprocessing.spawn(in_processes, (world,), 2)
    two, second = torch.load(world / "two.pt")
    network, objective, one = learn(world, world / "memory", **GENTLY)
    first, start = weights(network, objective), weights(*masked(world, world))
    for a, b in zip(one, two, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-3)
    for name in ("o.token", "o.projector.weight", "n.block8.0.conv2.kernel"):
        assert torch.allclose(first[name], second[name], atol=1e-4), name
        assert not torch.allclose(first[name], start[name], atol=1e-4)


def test_norms_and_biases_do_not_decay(world, tmp_path):
    network, objective = masked(world, tmp_path)
    optimiser = optimiser_of(objective.groups(network), training_rooms.recipe(1, **EVERYTHING))
    decay = {id(p): group["weight_decay"] for group in optimiser.param_groups for p in group["params"]}
    rate = {id(p): group["rate"] for group in optimiser.param_groups for p in group["params"]}
    assert isinstance(optimiser, torch.optim.AdamW)
    assert decay[id(last(network))] == decay[id(objective.token)] == 0.05
    assert decay[id(network.bntr7.bn.weight)] == decay[id(network.bntr7.bn.bias)] == 0
    assert decay[id(objective.projector.bias)] == 0
    assert (rate[id(objective.token)], rate[id(last(network))]) == (2.0, 1.0)
    assert id(network.conv0p1s1.kernel) not in decay


def test_weights_decay_by_hand(world, tmp_path):
    """Without a gradient AdamW takes rate times decay off, and nothing where there is none."""
    kept, faded = (torch.nn.Parameter(torch.ones(2, 2)) for _ in range(2))
    groups = [ParameterGroup([faded], rate=2.0), ParameterGroup([kept], decay=False)]
    optimiser = optimiser_of(groups, training_rooms.recipe(1, optimiser="adamw", weight_decay=0.1))
    for group in optimiser.param_groups:
        group["lr"] = 0.5 * group["rate"]
    kept.grad, faded.grad = torch.zeros(2, 2), torch.zeros(2, 2)
    optimiser.step()
    assert torch.allclose(faded, torch.full((2, 2), 1 - 1.0 * 0.1))
    assert torch.equal(kept, torch.ones(2, 2))


def test_gradients_are_clipped_by_their_norm(world, tmp_path, monkeypatch):
    """Adam's first moment is a tenth of the first gradient: so its norm is seen."""
    norms = {}
    for clip in (0.0, 1e-3):
        made = []
        monkeypatch.setattr(
            "anyscene.learning.engine.loop.optimiser_of",
            lambda *given, made=made: made.append(optimiser_of(*given)) or made[0],
        )
        learn(world, tmp_path, steps=1, clip=clip, warmup=0)
        moments = [state["exp_avg"] for state in made[0].state_dict()["state"].values()]
        norms[clip] = 10 * torch.nn.utils.get_total_norm(moments).item()
    assert norms[0.0] > 0.1
    assert norms[1e-3] == pytest.approx(1e-3, rel=1e-3)


def test_the_average_is_what_a_training_ends_with(world, tmp_path):
    """Of two steps with momentum m: m (m w0 + (1 - m) w1) + (1 - m) w2."""
    steps = []

    class Watched(MaskedViews):
        def after_step(self, network):
            super().after_step(network)
            steps.append(last(network).detach().clone())

    clouds = read_training_clouds(world / "scenes", world / "superpoints")
    network = training_rooms.network()
    start = last(network).detach().clone()
    objective = Watched(SETTINGS, training_rooms.context(network, world / "fusion", tmp_path))
    train(network, clouds, objective, training_rooms.recipe(2, ema=0.6), label="test")
    wanted = 0.6 * (0.6 * start + 0.4 * steps[0]) + 0.4 * steps[1]
    assert torch.allclose(last(network), wanted, atol=1e-6)
    assert not torch.allclose(last(network), steps[1], atol=1e-6)


def test_a_probe_trains_the_last_layer_alone(world, tmp_path):
    clouds = read_labelled_clouds(world / "scenes", world / "superpoints", world / "labels")
    network = training_rooms.network()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    objective = Probe(ProbeSettings(0.1), training_rooms.context(network, world / "fusion", tmp_path))
    rows = train(network, clouds, objective, training_rooms.recipe(20), label="test")
    assert rows[-1]["loss"] < 0.8 * rows[0]["loss"]
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]) != name.startswith("final"), name


def test_a_gradient_of_the_objective_that_is_no_number_is_refused(world, tmp_path):
    class Broken(MaskedViews):
        def forward(self, network, batch):
            terms = super().forward(network, batch)
            mean = terms["length"]
            slope = (self.token.sum() * 0).sqrt()  # 0, with a slope of infinity times 0
            return terms | {"length": mean._replace(total=mean.total + slope)}

    clouds = read_training_clouds(world / "scenes", world / "superpoints")
    network = training_rooms.network()
    context = training_rooms.context(network, world / "fusion", tmp_path)
    with pytest.raises(TrainingError, match="a gradient is not finite"):
        train(
            network,
            clouds,
            Broken(MaskedSettings(0.3, 0.8, 1.5), context),
            training_rooms.recipe(1),
            label="x",
        )


def test_state_is_named_apart(world, tmp_path):
    network, objective = masked(world, tmp_path)
    names = set(LossModule(network, objective).state_dict())
    assert {"network.final.kernel", "objective.token", "objective.teacher.final.kernel"} <= names
