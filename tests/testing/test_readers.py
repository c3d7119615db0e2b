"""The suite of readers fails for a reader that keeps not to the protocol."""

from types import SimpleNamespace

import numpy as np
import pytest

from anyscene.testing import ReaderTests


def dataset(splits, keys=None):
    keys = {scene: scene for scene in splits} if keys is None else keys
    return SimpleNamespace(splits=lambda: splits, keys=lambda: keys)


@pytest.mark.parametrize(
    ("splits", "keys"),
    [
        ({}, None),
        ({"a": ""}, None),
        ({"a": None}, None),
        ({"b": "val", "a": "val"}, None),
        ({"a": "val"}, {}),
        ({"a": "val"}, {"a": None}),
    ],
)
def test_splits_and_keys_that_are_none(splits, keys):
    suite = ReaderTests()
    suite.test_every_scene_has_a_split_and_a_key(dataset({"a": "train", "b": "val"}))
    with pytest.raises(AssertionError):
        suite.test_every_scene_has_a_split_and_a_key(dataset(splits, keys))


def test_a_key_of_two_scenes():
    ReaderTests().test_keys_differ_between_scenes(dataset({"a": "val", "b": "val"}))
    with pytest.raises(AssertionError):
        ReaderTests().test_keys_differ_between_scenes(dataset({"a": "val", "b": "val"}, {"a": "k", "b": "k"}))


@pytest.mark.parametrize(
    "world",
    [
        np.diag([1.0, 1, 0, 1]),
        np.diag([1.0, 1, -1, 1]),
        np.diag([1.0, 1, 1, 2]),
        np.diag([1.0, 1, np.inf, 1]),
        np.eye(4, dtype=np.float32),
        np.eye(3),
    ],
)
def test_a_way_back_that_is_none(world):
    ReaderTests().test_scenes_know_the_way_back([SimpleNamespace(world=np.eye(4))])
    with pytest.raises(AssertionError):
        ReaderTests().test_scenes_know_the_way_back([SimpleNamespace(world=world)])
