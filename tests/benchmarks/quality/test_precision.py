from __future__ import annotations

import numpy as np
import pytest

from anyscene.project import parameters
from benchmarks.quality import precision

pytestmark = pytest.mark.integration


class Coarse:
    """Labels a pixel by its red, which half precision rounds."""

    def __init__(self, precision):
        self.step = {"float32": 1, "bfloat16": 4}[precision]

    def label(self, images, vocabulary):
        return (images[..., 0] // self.step * self.step).astype(np.int16)


def test_the_share_of_labels_that_half_precision_changes(monkeypatch):
    monkeypatch.setattr(
        precision, "load_segmenter", lambda model, params, captions: Coarse(params.segmenters.precision)
    )
    images = np.arange(2 * 4 * 8 * 3, dtype=np.uint8).reshape(2, 4, 8, 3)
    found = list(precision.compare(parameters.load(), images, ["float32", "bfloat16"]))
    assert [one[:2] for one in found] == [
        (model, kind) for model in ("dense", "mask") for kind in ("float32", "bfloat16")
    ]
    assert [share for *_, share, _ in found] == [0, 0.75, 0, 0.75]  # reds are 0, 3, 6, ...
