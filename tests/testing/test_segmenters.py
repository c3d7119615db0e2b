"""The suite of 2D models fails for a model that keeps not to the protocol."""

from types import SimpleNamespace

import numpy as np
import pytest

from anyscene.testing import SegmenterTests

SHAPE = (4, 6)


@pytest.mark.parametrize(
    ("label", "everywhere", "right"),
    [
        (0, True, True),
        (-1, False, True),
        (-1, True, False),
        (-2, False, False),
        (len(SegmenterTests.vocabulary) - 1, True, True),
        (len(SegmenterTests.vocabulary), True, False),
    ],
)
def test_labels_that_no_class_has(monkeypatch, label, everywhere, right):
    monkeypatch.setattr(SegmenterTests, "labels_everywhere", everywhere)
    model = SimpleNamespace(label=lambda images, texts: np.full((len(images), *SHAPE), label, np.int16))
    if right:
        SegmenterTests().test_labels_cover_the_image(model, SHAPE)
        return
    with pytest.raises(AssertionError):
        SegmenterTests().test_labels_cover_the_image(model, SHAPE)
