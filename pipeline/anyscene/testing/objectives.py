"""What an objective must satisfy: `anyscene.learning.objective.Objective`."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from anyscene.learning.engine.loop import train
from anyscene.learning.engine.processes import Processes
from anyscene.learning.objective import Mean, Objective
from anyscene.learning.views.clouds import Clouds
from anyscene.networks import Batch, MinkUNet, View
from anyscene.networks.batch import join
from anyscene.project.parameters import Recipe

Make = Callable[[], tuple[MinkUNet, Objective]]


class ObjectiveTests:
    """Tests of an objective. The fixtures `make` and `clouds` return the objective and what it trains on.

        class TestMine(ObjectiveTests):
            @pytest.fixture
            def clouds(self):
                return Clouds.held(cloud(seed) for seed in range(3))

            @pytest.fixture
            def make(self, tmp_path):
                def make():
                    network = small_network(seed=0)
                    return network, MyObjective(Settings(...), context(network, tmp_path))

                return make

    What `make` returns makes a network and an objective in their first state, always with the same weights.
    `clouds` are three or more small scenes, with labels where the objective is supervised.
    """

    steps = 3  # of a training in this suite

    @pytest.fixture
    def make(self) -> Make:
        """A function that returns a new network and the objective that will train it."""
        raise pytest.UsageError("give the fixture `make` in the class that derives from ObjectiveTests")

    @pytest.fixture
    def clouds(self) -> Clouds:
        """The scenes to train on."""
        raise pytest.UsageError("give the fixture `clouds` in the class that derives from ObjectiveTests")

    def test_every_cloud_is_shown_in_as_many_views(self, make: Make, clouds: Clouds) -> None:
        _, objective = make()
        shown = [objective.views(cloud, np.random.default_rng(0)) for cloud in clouds]
        assert shown[0] and len({len(views) for views in shown}) == 1
        assert all(isinstance(view, View) and len(view.features) for views in shown for view in views)

    def test_views_depend_on_their_arguments_alone(self, make: Make, clouds: Clouds) -> None:
        _, objective = make()
        first, second = (objective.views(clouds[0], np.random.default_rng(7)) for _ in range(2))
        for one, other in zip(first, second, strict=True):
            assert np.array_equal(one.features, other.features)
            assert np.array_equal(one.voxels.coordinates, other.voxels.coordinates)

    def test_what_is_trained_is_listed_once(self, make: Make) -> None:
        network, objective = make()
        listed = [id(p) for group in objective.groups(network) for p in group.parameters]
        known = {id(p) for module in (network, objective) for p in module.parameters()}
        assert listed and len(set(listed)) == len(listed) and set(listed) <= known
        assert all(group.rate > 0 for group in objective.groups(network))

    def test_terms_have_the_same_names_each_time(self, make: Make, clouds: Clouds) -> None:
        network, objective = begun(make, clouds)
        found = [objective(network, batch(objective, clouds[:2], seed)) for seed in range(2)]
        assert found[0] and list(found[0]) == list(found[1])
        for terms in found:
            assert all(isinstance(name, str) and isinstance(term, Mean) for name, term in terms.items())
            assert all(term.total.ndim == 0 and torch.isfinite(term.total) for term in terms.values())
            assert all(term.weight >= 0 for term in terms.values())

    def test_every_listed_parameter_takes_part(self, make: Make, clouds: Clouds) -> None:
        network, objective = begun(make, clouds)
        terms = objective(network, batch(objective, clouds[:2], 0))
        sum(term.total / (term.weight or 1) for term in terms.values()).backward()
        for group in objective.groups(network):
            assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in group.parameters)

    def test_what_it_says_of_itself_is_plain(self, make: Make, clouds: Clouds) -> None:
        (_, first), (_, second) = make(), make()
        assert json.loads(json.dumps(first.identity)) == json.loads(json.dumps(second.identity))
        _, objective = begun(make, clouds)
        assert isinstance(json.loads(json.dumps(objective.freeze())), dict)

    def test_a_training_is_deterministic(self, make: Make, clouds: Clouds) -> None:
        recipe = Recipe(
            seed=0, steps=self.steps, batch=2, learning_rate=1e-3, final_learning_rate=1e-4, warmup=1
        )
        curves, weights = [], []
        for _ in range(2):
            network, objective = make()
            curves.append(train(network, clouds, objective, recipe, label="suite"))
            weights.append([value.clone() for value in network.state_dict().values()])
        assert len(curves[0]) == self.steps and all(math.isfinite(row["loss"]) for row in curves[0])
        assert curves[0] == curves[1] and all(map(torch.equal, *weights))


def begun(make: Make, clouds: Clouds) -> tuple[MinkUNet, Objective]:
    """A network and its objective in their state before the first step."""
    network, objective = make()
    objective.begin(network, clouds, Processes(torch.device("cpu")))
    objective.before_step(0.0)
    network.train()
    return network, objective


def batch(objective: Objective, clouds: Clouds, seed: int) -> Batch:
    """The batch that the training loop would make of `clouds`."""
    rng = np.random.default_rng(seed)
    return join([view for cloud in clouds for view in objective.views(cloud, rng)])
