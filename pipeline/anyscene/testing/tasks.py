"""What a task must satisfy: `anyscene.tasks.task.Task`."""

from __future__ import annotations

import pickle
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from anyscene.arrays import F4
from anyscene.datasets import label_set
from anyscene.tasks.features import Features
from anyscene.tasks.layer import Classes, Layer, Scale
from anyscene.tasks.surface import Surface
from anyscene.tasks.task import Task, Texts
from anyscene.tasks.truth import Annotation

WIDTH = 16  # of the text space
NAMES = ("floor", "bed", "table")  # of the made-up scene, in the order of its superpoints


class Spelling:
    """A text encoder without weights. It returns unit vectors that depend only on the letters."""

    name, width = "spelling", WIDTH

    def encode(self, texts: Sequence[str]) -> F4:
        """f4[K, C]: a vector of length 1 for each text."""
        vectors = [np.random.default_rng(zlib.crc32(text.encode())).normal(size=WIDTH) for text in texts]
        return np.array([v / np.linalg.norm(v) for v in vectors], np.float32).reshape(-1, WIDTH)


def scene(seed: int = 0) -> tuple[Surface, Features, Annotation, Texts]:
    """A floor with two boxes on it, without a mesh: its points, features from which one can tell their names,
    annotation, and the texts that features are compared with. A tenth of the points has no feature."""
    rng = np.random.default_rng(seed)
    encoder: Any = Spelling()  # it lacks `tokens`, for which no task asks
    texts = Texts(encoder, label_set("scannet20"), NAMES, "a {} in a scene", ("a bed in a scene",))
    corner = {"floor": (0, 0, 0), "bed": (0.5, 0.5, 0.1), "table": (2.5, 2.0, 0.4)}
    size = {"floor": (4, 4, 0), "bed": (1.5, 1.0, 0.4), "table": (1.0, 0.8, 0.3)}
    count = 400
    xyz = np.concatenate([rng.random((count, 3)) * size[name] + corner[name] for name in NAMES])
    part = np.repeat(np.arange(len(NAMES)), count)
    label = np.array([texts.label_set.names.index(name) for name in NAMES], np.int16)[part]
    space = texts.encoder.encode([texts.template.format(name) for name in NAMES])
    values = (space[part] + rng.normal(0, 0.02, (len(part), WIDTH))).astype(np.float32)
    valid = rng.random(len(part)) > 0.1
    name = f"scene{seed}"
    surface = Surface(
        name,
        xyz.astype(np.float32),
        rng.integers(0, 256, (len(part), 3), dtype=np.uint8),
        np.tile(np.array([0, 0, 1], np.float32), (len(part), 1)),
        np.zeros((0, 3), np.int32),
        part.astype(np.int32),
    )
    truth = Annotation(name, label, part.astype(np.int32), texts.label_set, "ignore")
    return surface, Features("fusion", "fused", values, None, valid), truth, texts


class TaskTests:
    """Tests of a task. The fixture `task` returns the task.

        class TestMine(TaskTests):
            @pytest.fixture
            def task(self):
                return MyTask()

    The task answers the made-up scenes of this module.
    """

    @pytest.fixture
    def task(self) -> Task[Any]:
        """The task to test."""
        raise pytest.UsageError("give the fixture `task` in the class that derives from TaskTests")

    def test_it_has_a_name_and_a_title(self, task: Task[Any]) -> None:
        assert task.name and task.name.split() == [task.name] and "/" not in task.name
        assert isinstance(task.title, str) and task.title

    def test_layers_cover_all_points(self, task: Task[Any]) -> None:
        surface, features, _, texts = scene()
        layers = task.layers(task.answer(surface, features, texts))
        assert len({layer.name for layer in layers}) == len(layers)
        for layer in layers:
            assert layer.title and (layer.legend is None or isinstance(layer.legend, Classes | Scale))
            if layer.colours is not None:
                assert layer.colours.shape == (len(surface), 3) and layer.colours.dtype == np.uint8
            else:
                assert layer.values is not None
                assert layer.values.shape == (len(surface),) and layer.values.dtype.kind == "f"
                known = layer.values[~np.isnan(layer.values)]
                assert not known.size or (known.min() >= 0 and known.max() <= 1)

    def test_the_same_scene_gets_the_same_answer(self, task: Task[Any]) -> None:
        surface, features, _, texts = scene()
        first, second = (task.layers(task.answer(surface, features, texts)) for _ in range(2))
        _assert_same(first, second)

    def test_answers_reach_another_process(self, task: Task[Any]) -> None:
        surface, features, _, texts = scene()
        answer = task.answer(surface, features, texts)
        _assert_same(task.layers(answer), task.layers(pickle.loads(pickle.dumps(answer))))

    def test_scores_are_figures_or_nothing(self, task: Task[Any]) -> None:
        scenes = [scene(seed) for seed in range(2)]
        answers = (task.answer(surface, features, texts) for surface, features, _, texts in scenes)
        found = task.score(answers, (truth for _, _, truth, _ in scenes))  # each can be gone through once
        assert found is None or (found and all(isinstance(name, str) for name in found))
        assert found is None or all(np.isfinite(value) for value in found.values())

    def test_no_scenes_have_no_score(self, task: Task[Any]) -> None:
        assert task.score(iter(()), iter(())) is None


def _assert_same(first: Sequence[Layer], second: Sequence[Layer]) -> None:
    for one, other in zip(first, second, strict=True):
        assert one.name == other.name
        for name in ("colours", "values"):
            a, b = getattr(one, name), getattr(other, name)
            assert (a is None and b is None) or np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
