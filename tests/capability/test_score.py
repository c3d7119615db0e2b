"""Intersection over union of mask stacks: both recipes and their empty cases, by hand."""

import numpy as np
import pytest

from anyscene.capability.score import score


def row(*cells):
    return np.array(cells, bool).reshape(len(cells), 1, -1)


def test_pooled_is_sum_over_sum():
    pseudo = row([1, 1, 1, 1], [1, 0, 0, 0])
    predicted = row([1, 1, 0, 0], [1, 1, 0, 0])
    assert score(pseudo, predicted) == pytest.approx(3 / 6)
    assert score(pseudo, predicted, pooled=False) == pytest.approx((2 / 4 + 1 / 2) / 2)


def test_large_objects_weigh_more_when_pooled():
    pseudo = row([1, 1, 1, 1], [1, 0, 0, 0])
    predicted = row([1, 1, 1, 1], [0, 1, 0, 0])
    assert score(pseudo, predicted) == pytest.approx(4 / 6)
    assert score(pseudo, predicted, pooled=False) == pytest.approx(0.5)


@pytest.mark.parametrize("pooled", [True, False])
def test_empty_masks(pooled):
    nothing, something = row([0, 0]), row([1, 0])
    assert score(nothing, nothing, pooled) == 0
    assert score(something, nothing, pooled) == 0
    assert score(nothing, something, pooled) == 0
    assert score(something, something, pooled) == 1
    both = np.concatenate([nothing, something])
    assert score(both, both, pooled) == 1  # the empty pair says nothing
    assert score(both[:0], both[:0], pooled) == 0


@pytest.mark.parametrize(
    ("pseudo", "predicted", "message"),
    [
        (np.zeros((1, 2, 2), bool), np.zeros((2, 2, 2), bool), r"expected two stacks .* \(1, 2, 2\) and \(2"),
        (np.zeros((2, 2), bool), np.zeros((2, 2), bool), r"expected two stacks .* \(2, 2\)"),
        (
            np.zeros((1, 2, 2), np.uint8),
            np.zeros((1, 2, 2), bool),
            "expected boolean masks, got uint8 and bool",
        ),
        (
            np.zeros((1, 2, 2), bool),
            np.zeros((1, 2, 2), np.uint8),
            "expected boolean masks, got bool and uint8",
        ),
    ],
)
def test_other_input_is_refused(pseudo, predicted, message):
    with pytest.raises(ValueError, match=message):
        score(pseudo, predicted)


def test_agrees_with_sets_of_pixels():
    rng = np.random.default_rng(0)
    pseudo, predicted = rng.random((2, 5, 6, 7)) < 0.3
    a, b = ({tuple(p) for p in np.argwhere(x)} for x in (pseudo, predicted))
    assert score(pseudo, predicted) == pytest.approx(len(a & b) / len(a | b))
