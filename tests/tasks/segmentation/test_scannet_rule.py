"""Scores by the rule of ScanNet's benchmark, against a plain twin that goes from point to point.

The rule: only points whose true NYU40 id is one of the 20 count; a prediction of any other id is an error;
IoU is of the two sets of points that are, and that are said to be, of a class.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyscene.datasets import label_set
from anyscene.tasks.segmentation import evaluate

SET = label_set("scannet20")
VALID = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 24, 28, 33, 34, 36, 39]
OTHER = [0, 13, 15, 40]


def slow_scores(truth, said):
    """IoU and accuracy in percent of each class that has a point, by sets of points."""
    counted = {i for i, id in enumerate(truth) if id in VALID}
    iou, accuracy = {}, {}
    for id, name in zip(VALID, SET.names, strict=True):
        are = {i for i in counted if truth[i] == id}
        called = {i for i in counted if said[i] == id}
        if are:
            iou[name] = 100 * len(are & called) / len(are | called)
            accuracy[name] = 100 * len(are & called) / len(are)
    return iou, accuracy


def rows(id):
    """Rows of the label set, -1 for ids that are none of its classes."""
    lookup = np.full(41, -1)
    lookup[SET.ids["nyu40"]] = np.arange(20)
    return lookup[id]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 300), st.floats(0, 1))
def test_scores_are_those_of_sets_of_points(seed, count, wrong):
    rng = np.random.default_rng(seed)
    truth = rng.choice(VALID + OTHER, count)
    said = np.where(rng.random(count) < wrong, rng.choice(VALID + OTHER, count), truth)
    found, (iou, accuracy) = evaluate(rows(truth), rows(said), SET), slow_scores(truth, said)
    assert found.per_class == pytest.approx(iou, abs=1e-9)
    assert found.mIoU == pytest.approx(sum(iou.values()) / max(len(iou), 1), abs=1e-9)
    assert found.mAcc == pytest.approx(sum(accuracy.values()) / max(len(accuracy), 1), abs=1e-9)
    assert set(found.absent) == set(SET.names) - set(iou)
