"""True IoU on frames, and its agreement with capability."""

from __future__ import annotations

import numpy as np
import pytest

from anyscene.study.true_iou import agreement, compared, iou, known_classes

NAMES = ("wall", "chair", "other")


class Constant:
    """Says wall in the left half and chair in the right, whatever it is shown; counts batches."""

    name = version = "constant"

    def __init__(self):
        self.batches = []

    def label(self, images, vocabulary):
        self.batches.append(len(images))
        said = np.full(images.shape[:3], vocabulary.index("wall"), np.int16)
        said[:, :, 2:] = vocabulary.index("chair")
        return said


def test_true_iou_counts_other_classes_as_false_positives_and_skips_the_unlabelled():
    image = np.zeros((2, 4, 3), np.uint8)
    truth = np.array([[0, 0, 1, 2], [0, 1, 1, 255]], np.uint8)  # wall, chair, other, none
    model = Constant()
    found = iou(compared(model, [(image, truth)] * 3, NAMES, ("chair", "bed", "wall"), batch=2))
    assert model.batches == [2, 1]
    # chair: right 2 of 3 true, one "other" called chair; wall: right 3, one chair called wall; bed: nowhere
    np.testing.assert_allclose(found, [2 / 4, np.nan, 3 / 4])


def test_agreement_is_spearmans_over_classes_with_truth():
    capability, truth = np.array([0.1, 0.5, 0.3, 0.9]), np.array([0.2, 0.4, 0.3, np.nan])
    assert agreement(capability, truth) == pytest.approx(1)
    assert agreement(capability, -truth) == pytest.approx(-1)


def test_agreement_with_ties():
    # ranks of a: 1.5, 1.5, 3, 4; of b: 1, 2, 3, 4; their Pearson correlation by hand
    assert agreement(np.array([0, 0, 1, 2.0]), np.array([1, 2, 3, 4.0])) == pytest.approx(
        4.5 / np.sqrt(4.5 * 5)
    )


def test_agreement_of_too_little_is_none():
    assert agreement(np.array([0.1, 0.2]), np.array([0.1, 0.2])) is None
    assert agreement(np.array([0.5, 0.5, 0.5]), np.array([0.1, 0.2, 0.3])) is None


def test_known_classes_are_those_that_were_taught():
    np.testing.assert_array_equal(known_classes(["bed", "wall"], ("wall", "chair")), [1, 0])
    assert known_classes(None, ("wall",)) is None
