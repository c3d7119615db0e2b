"""Labels of the dense model, and the images that both demo models are shown."""

import numpy as np
import pytest
import torch

from anyscene.segmenters.protocol import FeatureMap
from anyscene_demo.segmenters.backbone import prepare
from anyscene_demo.segmenters.dense.segmenter import DenseSegmenter
from tests.builders import small_demo


class Axes:
    """A text encoder: "a" and "b" are axes of the text space."""

    name, width = "axes", 384

    def encode(self, texts):
        return np.eye(self.width, dtype=np.float32)[[int("b" in text.split()) for text in texts]]


def test_labels_are_those_of_the_similarity_between_cells(tmp_path, monkeypatch):
    segmenter = DenseSegmenter("dense", small_demo.write(tmp_path) / "dense", Axes())
    cells = torch.zeros(1, 2, Axes.width)
    cells[0, 0, 0], cells[0, 1, :2] = 1, torch.tensor([0.4, 0.6])
    monkeypatch.setattr(segmenter, "describe", lambda images: [FeatureMap(cells) for _ in images])
    # The centre of pixel x lies at (x + 0.5) / 4 - 0.5 = t between the cells. There a is 1 - 0.6 t and b is
    # 0.6 t, which is more from t = 5/6 on: pixel 4 has t = 0.625, pixel 5 has 0.875.
    found = segmenter.label(np.zeros((2, 3, 8, 3), np.uint8), ["a", "b"])
    assert found.dtype == np.int16 and found.tolist() == [[[0, 0, 0, 0, 0, 1, 1, 1]] * 3] * 2


@pytest.mark.parametrize(("channel", "luma"), [(0, 0.299), (1, 0.587), (2, 0.114)])
def test_grey_is_the_luma_of_red_green_and_blue(channel, luma):
    image = np.zeros((1, 8, 8, 3), np.uint8)
    image[..., channel] = 255
    grey = prepare(image, 8, grey=True)
    assert grey.shape == (1, 3, 8, 8)
    assert torch.allclose(grey, torch.full_like(grey, 2 * luma - 1), atol=1e-5)
    colour = prepare(image, 8)
    assert colour[0, :, 4, 4].tolist() == [1.0 if index == channel else -1.0 for index in range(3)]
