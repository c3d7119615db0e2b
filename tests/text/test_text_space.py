"""Reduced features give the predictions, fusions and means of the full ones."""

from __future__ import annotations

import numpy as np
import pytest

from anyscene.datasets import LabelSet
from anyscene.fusion import fuse, superpoint_means
from anyscene.text import text_space
from anyscene.text.text_space import TextSpace

WIDTH, LABELS, VOCABULARY, POINTS = 48, 6, 5, 300
FOREGROUND = np.array([False, False, True, True, True, False])


def set_of(foreground, prompt_class=None):
    names = tuple(map(str, range(len(foreground))))
    prompts = names if prompt_class is None else tuple(map(str, range(len(prompt_class))))
    colours = np.zeros((len(names), 3), np.uint8)
    return LabelSet("mine", names, prompts, colours, foreground, prompt_class=prompt_class)


@pytest.fixture
def case():
    rng = np.random.default_rng(3)
    labels = rng.normal(size=(LABELS, WIDTH)).astype(np.float32)
    vocabulary = np.concatenate([labels[:3], rng.normal(size=(VOCABULARY - 3, WIDTH)).astype(np.float32)])
    features = rng.normal(size=(2, POINTS, WIDTH)).astype(np.float32)
    return TextSpace(labels, vocabulary, set_of(FOREGROUND)), labels, vocabulary, features, rng


def test_products_and_lengths_are_kept(case):
    space, labels, vocabulary, (feature, _), _ = case
    reduced = space.reduce(feature)
    assert reduced.shape == (POINTS, LABELS + VOCABULARY - 3 + 1)
    np.testing.assert_allclose(reduced @ space.labels.T, feature @ labels.T, atol=2e-5)
    np.testing.assert_allclose(reduced @ space.vocabulary.T, feature @ vocabulary.T, atol=2e-5)
    np.testing.assert_allclose(np.linalg.norm(reduced, axis=1), np.linalg.norm(feature, axis=1), rtol=1e-5)


def test_blocks_change_nothing(case, monkeypatch):
    space, _, _, (feature, _), _ = case
    whole = space.reduce(feature)
    monkeypatch.setattr(text_space, "BLOCK", 37)
    np.testing.assert_allclose(space.reduce(feature), whole, atol=1e-6)


def test_predicts_the_most_similar_label(case):
    space, labels, _, (feature, _), rng = case
    valid = rng.random(POINTS) < 0.8
    found = space.predict(space.reduce(feature), valid)
    score = feature @ labels.T
    np.testing.assert_array_equal(found.label, np.where(valid, score.argmax(1), -1))
    score[:, ~FOREGROUND] = -np.inf
    np.testing.assert_array_equal(found.foreground, np.where(valid, score.argmax(1), -1))


@pytest.mark.parametrize("method", ["capability", "add", "linear", "max"])
def test_fusing_reduced_features_equals_reducing_fused_ones(case, method):
    space, labels, vocabulary, features, rng = case
    valid = rng.random((2, POINTS)) < 0.8
    capability = rng.random((2, VOCABULARY)).astype(np.float32)
    full = fuse(features, valid, capability, vocabulary, method=method)
    reduced = [space.reduce(feature) for feature in features]
    small = fuse(reduced, valid, capability, space.vocabulary, method=method)
    np.testing.assert_array_equal(small.prediction, full.prediction)
    np.testing.assert_allclose(small.feature @ space.labels.T, full.feature @ labels.T, atol=2e-5)


def test_means_over_superpoints_too(case):
    space, labels, _, (feature, _), rng = case
    valid, superpoint = rng.random(POINTS) < 0.8, np.arange(POINTS, dtype=np.int32) % 7
    full, _ = superpoint_means(feature, valid, superpoint)
    small, _ = superpoint_means(space.reduce(feature), valid, superpoint)
    np.testing.assert_allclose(small @ space.labels.T, full @ labels.T, atol=2e-5)


def test_no_foreground_class_means_no_foreground_prediction(case):
    _, labels, vocabulary, (feature, _), _ = case
    space = TextSpace(labels, vocabulary, set_of(np.zeros(LABELS, bool)))
    assert (space.predict(space.reduce(feature)).foreground == -1).all()


def test_a_class_is_predicted_by_any_of_its_prompts(case):
    _, labels, vocabulary, (feature, _), rng = case
    classes, foreground = np.array([0, 0, 1, 2, 2, 2]), np.array([True, False, True])
    space = TextSpace(labels, vocabulary, set_of(foreground, classes))
    valid = rng.random(POINTS) < 0.8
    found = space.predict(space.reduce(feature), valid)
    score = feature @ labels.T
    best = np.stack([score[:, classes == k].max(1) for k in range(3)], 1)
    np.testing.assert_array_equal(found.label, np.where(valid, best.argmax(1), -1))
    best[:, 1] = -np.inf
    np.testing.assert_array_equal(found.foreground, np.where(valid, best.argmax(1), -1))
    assert found.label.dtype == found.foreground.dtype == np.int16
    assert set(found.label) == {-1, 0, 1, 2} and set(found.foreground) == {-1, 0, 2}
