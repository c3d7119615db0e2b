"""Scores against cases worked by hand and against scikit-learn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import confusion_matrix, jaccard_score, recall_score

from anyscene.datasets import LabelSet, label_set
from anyscene.tasks.segmentation import EvaluationError, confusion, evaluate, mean_iou, measure

WALL, FLOOR, BED, CHAIR = range(4)
ROOM = LabelSet(
    "room",
    ("wall", "floor", "bed", "chair"),
    ("wall", "floor", "bed", "chair"),
    np.zeros((4, 3), np.uint8),
    np.array([False, False, True, True]),
)
SCANNET = label_set("scannet20")
VALID = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 24, 28, 33, 34, 36, 39]  # NYU40 ids that count
OTHER = [0, 13, 15, 40]  # some that do not


def test_worked_case():
    target = np.array([WALL, WALL, WALL, BED, BED, CHAIR, CHAIR, CHAIR])
    prediction = np.array([WALL, WALL, BED, BED, WALL, CHAIR, CHAIR, -1])
    found = evaluate(target, prediction, ROOM)
    # wall: 2 right of 3, one bed called wall: 2/4; bed: 1/(2+1); chair: 2/3; no floor
    assert found.per_class == pytest.approx({"wall": 50, "bed": 100 / 3, "chair": 200 / 3})
    assert found.absent == ("floor",)
    assert found.mIoU == pytest.approx(50)
    assert found.mAcc == pytest.approx(100 * (2 / 3 + 1 / 2 + 2 / 3) / 3)
    assert found.precision == pytest.approx({"wall": 200 / 3, "bed": 50, "chair": 100})
    assert found.recall == pytest.approx({"wall": 200 / 3, "bed": 50, "chair": 200 / 3})
    assert found.splits == {}
    assert found.f_mIoU is None and found.f_mAcc is None


def test_points_without_prediction_are_errors_or_dropped():
    target, prediction = np.array([BED, BED, CHAIR, CHAIR]), np.array([BED, -1, CHAIR, CHAIR])
    assert evaluate(target, prediction, ROOM).per_class == {"bed": 50, "chair": 100}
    assert evaluate(target, prediction, ROOM, unpredicted="ignore").per_class == {"bed": 100, "chair": 100}


@pytest.mark.filterwarnings("error")
def test_a_class_that_is_nowhere_warns_of_nothing():
    found = evaluate(np.array([BED, BED]), np.array([BED, CHAIR]), ROOM)
    assert found.per_class == {"bed": 50} and found.mIoU == 50


def test_precision_of_what_is_never_predicted_is_zero():
    found = evaluate(np.array([BED, CHAIR]), np.array([CHAIR, CHAIR]), ROOM)
    assert found.precision == {"bed": 0, "chair": 50} and found.recall == {"bed": 0, "chair": 100}


def test_means_over_the_splits_of_a_label_set():
    split = replace(ROOM, split=("head", "head", "tail", "common"))
    target = np.array([WALL, WALL, FLOOR, FLOOR, BED, BED])
    prediction = np.array([WALL, FLOOR, FLOOR, FLOOR, BED, -1])
    found = evaluate(target, prediction, split)
    assert list(found.splits) == ["head", "tail"]  # no chair is annotated
    assert found.splits["head"] == pytest.approx({"mIoU": 100 * (1 / 2 + 2 / 3) / 2, "mAcc": 75})
    assert found.splits["tail"] == {"mIoU": 50, "mAcc": 50}


def test_splits_of_scannet200_are_means_of_its_classes():
    scannet = label_set("scannet200")
    rng = np.random.default_rng(0)
    target = rng.integers(0, 200, 20000)
    found = evaluate(target, np.where(rng.random(20000) < 0.5, target, 7), scannet)
    for name, count in (("head", 66), ("common", 68), ("tail", 66)):
        classes = [c for c, part in zip(scannet.names, scannet.split, strict=True) if part == name]
        assert len(classes) == count
        assert found.splits[name]["mIoU"] == pytest.approx(np.mean([found.per_class[c] for c in classes]))
        assert found.splits[name]["mAcc"] == pytest.approx(np.mean([found.recall[c] for c in classes]))


def test_class_seen_by_no_prediction_counts_zero_unless_dropped():
    target, prediction = np.array([BED, CHAIR]), np.array([-1, CHAIR])
    assert evaluate(target, prediction, ROOM).mIoU == 50
    dropped = evaluate(target, prediction, ROOM, unpredicted="ignore")
    assert dropped.mIoU == 100 and "bed" in dropped.absent


def test_foreground_metrics_ignore_background_points_and_choices():
    # the second wall point, called a bed for want of a wall among the choices, must not hurt the bed
    target = np.array([WALL, WALL, BED, BED, CHAIR])
    every = np.array([WALL, WALL, WALL, BED, CHAIR])
    foreground = np.array([CHAIR, BED, BED, BED, CHAIR])
    found = evaluate(target, every, ROOM, foreground_prediction=foreground)
    assert found.per_class["bed"] == 50
    assert found.f_mIoU == 100 and found.f_mAcc == 100


def test_foreground_metrics_count_foreground_confusions():
    target, choice = np.array([BED, BED, CHAIR, WALL]), np.array([BED, CHAIR, CHAIR, CHAIR])
    found = evaluate(target, choice, ROOM, foreground_prediction=choice)
    assert found.f_mIoU == pytest.approx(50)  # bed 1/2, chair 1/2
    assert found.f_mAcc == pytest.approx(75)


def test_scannet_foreground_is_seventeen_classes():
    scannet = label_set("scannet20")
    assert scannet.foreground.sum() == 17
    target = np.arange(20)
    found = evaluate(target, target, scannet, foreground_prediction=np.where(scannet.foreground, target, 2))
    assert found.f_mIoU == 100 and found.mIoU == 100


def test_scannet_benchmark_rules():
    """ScanNet's script: every annotated point is counted, an unknown prediction is a false negative of its
    class and a false positive of none; points of unlisted classes are left out."""
    target = np.array([BED] * 10 + [CHAIR] * 4 + [-1] * 5)
    prediction = np.array([BED] * 6 + [CHAIR] * 1 + [-1] * 3 + [CHAIR] * 4 + [BED] * 5)
    found = evaluate(target, prediction, ROOM)
    assert found.per_class == pytest.approx({"bed": 100 * 6 / 10, "chair": 100 * 4 / 5})


def test_everything_unannotated_is_zero_not_nan():
    found = evaluate(np.full(3, -1), np.zeros(3, int), ROOM, foreground_prediction=np.full(3, BED))
    assert (found.mIoU, found.mAcc, found.f_mIoU) == (0, 0, 0)
    assert found.absent == ROOM.names


@pytest.mark.parametrize(
    ("target", "prediction", "message"),
    [
        (np.zeros(3, int), np.zeros(2, int), r"\[2\] predictions for \[3\] labels; both must be \[N\]"),
        (np.zeros(2, int), np.array([0, 4]), "rows of the label set"),
        (np.zeros(2, int), np.array([0, -2]), "rows of the label set"),
    ],
)
def test_incomparable_arrays_are_refused(target, prediction, message):
    with pytest.raises(EvaluationError, match=message):
        evaluate(target, prediction, ROOM)


def test_background_among_foreground_predictions_is_refused():
    with pytest.raises(EvaluationError, match="foreground_prediction names a background class"):
        evaluate(np.array([BED]), np.array([BED]), ROOM, foreground_prediction=np.array([WALL]))


labels = st.integers(1, 60).flatmap(
    lambda n: st.tuples(
        arrays(np.int16, n, elements=st.integers(-1, 3)), arrays(np.int16, n, elements=st.integers(-1, 3))
    )
)


@settings(max_examples=150, deadline=None)
@given(labels)
def test_equals_scikit_learn(case):
    target, prediction = case
    known = target >= 0
    matrix = confusion(target, prediction, 4)
    if known.any():
        assert (matrix == confusion_matrix(target, prediction, labels=[0, 1, 2, 3, -1])[:4]).all()
    present = sorted(set(target[known].tolist()))
    found = evaluate(target, prediction, ROOM)
    if not present:
        assert found.mIoU == 0
        return
    # as in the rule, an unannotated point is nobody's false positive
    target, prediction = target[known], prediction[known]
    iou = jaccard_score(target, prediction, labels=present, average=None, zero_division=0)
    recall = recall_score(target, prediction, labels=present, average=None, zero_division=0)
    assert found.per_class == pytest.approx(
        dict(zip([ROOM.names[k] for k in present], 100 * iou, strict=True))
    )
    assert found.mIoU == pytest.approx(100 * iou.mean())
    assert found.mAcc == pytest.approx(100 * recall.mean())


@pytest.mark.parametrize("none", [4, 255])
def test_what_is_no_class_is_ignored(none):
    """As the labels of images write it: 255, or any number that is no row."""
    target = np.array([WALL, BED, CHAIR, none, none])
    prediction = np.array([WALL, BED, BED, CHAIR, BED])
    found = evaluate(target, prediction, ROOM)
    assert found == evaluate(np.where(target == none, -1, target), prediction, ROOM)
    assert found.per_class == pytest.approx({"wall": 100, "bed": 50, "chair": 0})


@settings(max_examples=50, deadline=None)
@given(labels, labels)
def test_scenes_add_up(first, second):
    together = [np.concatenate(pair) for pair in zip(first, second, strict=True)]
    matrix = confusion(*first, 4) + confusion(*second, 4)
    assert measure(matrix, None, ROOM) == evaluate(*together, ROOM)
    stacked = np.stack([confusion(*first, 4), confusion(*second, 4)])
    assert mean_iou(stacked) == pytest.approx([evaluate(*first, ROOM).mIoU, evaluate(*second, ROOM).mIoU])


def slow_scores(truth, said):
    """By the rule of ScanNet's benchmark, from point to point: only points whose true NYU40 id is one of the
    20 count; a prediction of any other id is an error; IoU is of the two sets of points that are, and that
    are said to be, of a class. IoU and accuracy in percent of each class that has a point."""
    counted = {i for i, id in enumerate(truth) if id in VALID}
    iou, accuracy = {}, {}
    for id, name in zip(VALID, SCANNET.names, strict=True):
        are = {i for i in counted if truth[i] == id}
        called = {i for i in counted if said[i] == id}
        if are:
            iou[name] = 100 * len(are & called) / len(are | called)
            accuracy[name] = 100 * len(are & called) / len(are)
    return iou, accuracy


def rows_of(id):
    """Rows of the label set, -1 for ids that are none of its classes."""
    lookup = np.full(41, -1)
    lookup[SCANNET.ids["nyu40"]] = np.arange(20)
    return lookup[id]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 300), st.floats(0, 1))
def test_scores_by_scannets_rule_are_those_of_sets_of_points(seed, count, wrong):
    rng = np.random.default_rng(seed)
    truth = rng.choice(VALID + OTHER, count)
    said = np.where(rng.random(count) < wrong, rng.choice(VALID + OTHER, count), truth)
    found, (iou, accuracy) = evaluate(rows_of(truth), rows_of(said), SCANNET), slow_scores(truth, said)
    assert found.per_class == pytest.approx(iou, abs=1e-9)
    assert found.mIoU == pytest.approx(sum(iou.values()) / max(len(iou), 1), abs=1e-9)
    assert found.mAcc == pytest.approx(sum(accuracy.values()) / max(len(accuracy), 1), abs=1e-9)
    assert set(found.absent) == set(SCANNET.names) - set(iou)
