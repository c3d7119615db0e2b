"""The built-in tasks keep to what every task must, and a task that does not is noticed."""

from types import SimpleNamespace

import numpy as np
import pytest

from anyscene.tasks import TASKS
from anyscene.tasks.instances import average_precision
from anyscene.tasks.task import task as named
from anyscene.testing import TaskTests


class TestBuiltIn(TaskTests):
    @pytest.fixture(params=TASKS.names())
    def task(self, request, monkeypatch):
        monkeypatch.setattr(average_precision, "SMALLEST", 5)
        return named(request.param)


def showing(**changes):
    """A task with one layer, of values of all points."""
    layer = {"name": "heat", "title": "Heat", "legend": None, "colours": None, "values": None} | changes

    def layers(answer):
        return [SimpleNamespace(**layer | {"values": layer["values"](answer) if layer["values"] else None})]

    return SimpleNamespace(answer=lambda surface, features, texts: len(surface), layers=layers)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0, np.nan])
def test_values_from_0_to_1_are_a_layer(value):
    TaskTests().test_layers_cover_all_points(showing(values=lambda count: np.full(count, value)))


@pytest.mark.parametrize(
    "changes",
    [
        {"values": lambda count: np.full(count, 1.1)},
        {"values": lambda count: np.linspace(-0.1, 1, count)},
        {"values": lambda count: np.full(count - 1, 0.5)},
        {"values": lambda count: np.zeros(count, int)},
        {"values": None},
        {"values": lambda count: np.zeros(count), "title": ""},
        {"values": lambda count: np.zeros(count), "legend": "a text"},
        {"colours": np.zeros((3, 3), np.uint8)},
    ],
)
def test_what_is_no_layer_is_noticed(changes):
    with pytest.raises(AssertionError):
        TaskTests().test_layers_cover_all_points(showing(**changes))


def test_an_answer_that_reaches_no_other_process_is_noticed():
    task = SimpleNamespace(answer=lambda surface, features, texts: lambda: 0, layers=lambda answer: [])
    with pytest.raises(Exception, match="pickle"):
        TaskTests().test_answers_reach_another_process(task)


def test_an_answer_that_reaches_another_process_changed_is_noticed():
    task = showing(values=lambda count: np.full(count, 0.5))
    task.answer = lambda surface, features, texts: Forgetting(len(surface))
    task.layers, layers = (lambda answer: layers(answer.count)), task.layers
    with pytest.raises(AssertionError):
        TaskTests().test_answers_reach_another_process(task)


class Forgetting:
    def __init__(self, count):
        self.count = count

    def __getstate__(self):
        return {"count": 1}
