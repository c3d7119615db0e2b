"""The built-in objectives, and one that uses all there is, keep to what every objective must."""

import math

import pytest
import torch

from anyscene.learning.views.clouds import read_training_clouds
from anyscene.project.parameters import OBJECTIVES
from anyscene.testing import ObjectiveTests
from anyscene.testing import objectives as suite
from tests.builders import training_rooms
from tests.builders.objectives import MaskedSettings, MaskedViews


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    training_rooms.write(folder, range(3))
    return folder


class OnRooms(ObjectiveTests):
    @pytest.fixture
    def clouds(self, world):
        return read_training_clouds(world / "scenes", world / "superpoints")


class TestBuiltIn(OnRooms):
    @pytest.fixture(params=OBJECTIVES.names())
    def make(self, request, world, tmp_path):
        def make():
            network = training_rooms.network()
            where = training_rooms.context(network, world / "fusion", tmp_path / "memory")
            return network, training_rooms.objective(request.param, where)

        return make


class TestMaskedViews(OnRooms):
    @pytest.fixture
    def make(self, world, tmp_path):
        settings = MaskedSettings(masked=0.3, momentum=0.8, sharpness=1.5)

        def make():
            network = training_rooms.network()
            where = training_rooms.context(network, world / "fusion", tmp_path / "memory")
            return network, MaskedViews(settings, where)

        return make


@pytest.mark.parametrize(
    ("losses", "right"),
    [
        ([[3.0, 2.0, 1.0]] * 2, True),
        ([[3.0, 2.0, math.nan]] * 2, False),
        ([[3.0, math.inf, 1.0]] * 2, False),
        ([[3.0, 2.0]] * 2, False),
        ([[3.0, 2.0, 1.0], [3.0, 2.0, 1.5]], False),
    ],
)
def test_a_training_that_is_none_is_noticed(monkeypatch, losses, right):
    curves = iter([[{"loss": loss} for loss in curve] for curve in losses])
    monkeypatch.setattr(suite, "train", lambda *arguments, **options: next(curves))

    def check():
        ObjectiveTests().test_a_training_is_deterministic(lambda: (torch.nn.Identity(), None), ())

    if right:
        check()
        return
    with pytest.raises(AssertionError):
        check()
