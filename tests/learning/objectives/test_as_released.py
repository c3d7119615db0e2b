"""The objectives, as SAS's released code computes them, against a second statement of that code.

The statement in tests/twins forms features of all channels, goes voxel by voxel, and keeps histories of
features, as that code does. What is drawn at random is taken from the objective: which voxels are sampled,
and how clouds are varied.
"""

import numpy as np
import pytest
import torch

from anyscene.learning.engine.processes import Processes
from anyscene.learning.objectives.cosine import smallest
from anyscene.learning.views.clouds import read_training_clouds
from anyscene.networks import MinkUNet
from anyscene.networks.batch import join
from anyscene.project import store
from tests.builders import training_rooms
from tests.builders.training_rooms import WIDTH
from tests.twins import released_code

SAMPLED = {"all": 0, "some": 150}
RELEASED = {"points_per_scene": 10**9, "superpoint_mean": "voxels"}
MOMENTUM = 0.9999
CLOSE = {"rtol": 1e-5, "atol": 1e-6}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    return training_rooms.write(folder, [0, 1])


def network():
    torch.manual_seed(0)
    return MinkUNet("14A", 3, WIDTH, "torch", width=0.25, bias=False)  # models/mink_unet.py:108-113


def clouds(world):
    return read_training_clouds(world[0], world[1])


def batch(objective, world, seed=3):
    rng = np.random.default_rng(seed)
    return join([view for cloud in clouds(world) for view in objective.views(cloud, rng)])


def owners(views):
    """i8[V] for each view: the superpoint of the first point of each voxel, numbered through the batch."""
    found, before = [], 0
    for view in views:
        found.append(view.cloud.superpoint[view.voxels.point].astype(np.int64) + before)
        before += int(view.cloud.superpoint.max()) + 1
    return np.concatenate(found)


def gradients(loss, trained):
    found = torch.autograd.grad(loss, [p for p in trained.parameters() if p.requires_grad])
    return [one.clone() for one in found]


def assert_same(ours, theirs):
    """To 1e-5 of the largest entry of each."""
    for one, other in zip(ours, theirs, strict=True):
        assert (one - other).abs().max() <= 1e-5 * other.abs().max()


def of_terms(terms):
    return {name: mean.total / mean.weight for name, mean in terms.items()}


@pytest.mark.parametrize("sampled", SAMPLED)
def test_first_step_of_distillation(world, sampled):
    trained = network()
    context = training_rooms.context(trained, world[2], inputs="geometry")
    settings = RELEASED | {"points_per_process": SAMPLED[sampled], "align": False}
    objective = training_rooms.objective("superpoint", context, **settings)
    before = [parameter.clone() for parameter in trained.parameters()]
    objective.initialise(trained, clouds(world))
    assert all(torch.equal(one, other) for one, other in zip(before, trained.parameters(), strict=True))
    step = batch(objective, world)
    trained.train()
    ours = of_terms(objective(trained, step))
    our_gradients = gradients(ours["point"] + ours["superpoint"], trained)

    output, feature, has = trained(step.maps, step.features), [], []
    for view in step.views:
        group = store.open_scene(store.scene_path(world[2], view.cloud.id))
        feature.append(group["feature"][:][view.voxels.point])
        has.append(group["valid"][:][view.voxels.point])
    mask = np.flatnonzero(np.concatenate(has))
    taken = mask
    if settings["points_per_process"]:
        keys = np.concatenate([view.key for view in step.views])
        rows = np.concatenate([view.row + start for view, start in zip(step.views, step.start, strict=False)])
        assert set(rows) <= set(mask) and len(rows) > SAMPLED[sampled]
        taken = np.sort(rows[np.argsort(keys, kind="stable")[: settings["points_per_process"]]])
        assert len(taken) == SAMPLED[sampled] < len(mask)
    feature = torch.from_numpy(np.concatenate(feature)[taken].astype(np.float32))
    output, owner = output[torch.from_numpy(taken)], owners(step.views)[taken]
    point, superpoint = released_code.distillation(output, feature, owner)
    torch.testing.assert_close(ours["point"], point, **CLOSE)
    torch.testing.assert_close(ours["superpoint"], superpoint, **CLOSE)
    assert_same(our_gradients, gradients(point + superpoint, trained))


@pytest.mark.parametrize("sampled", SAMPLED)
def test_three_visits_of_ensembling(world, tmp_path, sampled):
    trained = network()
    context = training_rooms.context(trained, world[2], tmp_path, inputs="geometry")
    settings = {"loss": "code", "start": "code", "temperature": 1.0, "balance": 0.0, "momentum": MOMENTUM}
    limit = SAMPLED[sampled]
    objective = training_rooms.objective("ensembling", context, **settings, points_per_process=limit)
    objective.begin(trained, clouds(world), Processes(torch.device("cpu")))
    text = torch.from_numpy(training_rooms.text())
    # the history begins with means of superpoints; of features here, whose logits the objective keeps
    inverse = torch.linalg.pinv(text)
    history = {cloud.id: torch.from_numpy(objective.history[cloud.id]) @ inverse.T for cloud in clouds(world)}
    trained.train()
    for visit in range(3):
        step = batch(objective, world, visit)
        state = {view.cloud.id: view.random.bit_generator.state for view in step.views}
        ours = of_terms(objective(trained, step))
        our_gradients = gradients(ours["point"] + ours["superpoint"], trained)

        output, told = trained(step.maps, step.features), []
        for i, view in enumerate(step.views):
            answer = output[step.start[i] : step.start[i + 1]].detach()[torch.from_numpy(view.voxels.voxel)]
            history[view.cloud.id] = released_code.next_history(history[view.cloud.id], answer)
            told.append(history[view.cloud.id][torch.from_numpy(view.voxels.point)])
        told, owner = torch.cat(told), owners(step.views)
        if limit:
            keys = training_rooms.drawn(step.views, state)
            taken = smallest(keys, limit)
            assert len(taken) == limit < len(owner)
            told, output, owner = told[taken], output[torch.from_numpy(taken)], owner[taken]
        point, superpoint = released_code.ensembling(output, told, owner, text)
        torch.testing.assert_close(ours["point"], point, **CLOSE)
        torch.testing.assert_close(ours["superpoint"], superpoint, **CLOSE)
        assert_same(our_gradients, gradients(point + superpoint, trained))
    for name, feature in history.items():
        np.testing.assert_allclose(objective.history[name], feature @ text.T, **CLOSE)


def test_smallest_are_each_as_likely():
    rng = np.random.default_rng(0)
    count = np.zeros(12)
    for _ in range(6000):
        count[smallest(rng.random(12), 3)] += 1
    assert np.abs(count / 6000 - 0.25).max() < 0.02
    assert smallest(rng.random(5), 5).tolist() == smallest(rng.random(5), 0).tolist() == [0, 1, 2, 3, 4]
    assert smallest(np.array([0.4, 0.1, 0.3, 0.2]), 2).tolist() == [1, 3]
