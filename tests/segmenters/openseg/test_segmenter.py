"""Without TensorFlow: what stands around the SavedModel."""

import dataclasses
import importlib.util
import io

import numpy as np
import pytest
import torch
from PIL import Image

from anyscene.errors import WeightsError
from anyscene.project import extras, parameters
from anyscene.segmenters import openseg
from anyscene.segmenters.openseg import answer, segmenter
from anyscene.segmenters.openseg.segmenter import OpenSegSegmenter
from anyscene.testing import SegmenterTests
from anyscene.text import load_text_encoder

CPU = torch.device("cpu")


class Model:
    """In the place of the SavedModel: the colours of an image in a square of 64, 128 times."""

    def __call__(self, content):
        image = np.asarray(Image.open(io.BytesIO(content)))
        scale = 64 / max(image.shape[:2])
        rows, columns = (max(1, int(length * scale)) for length in image.shape[:2])
        square = np.full((1, 64, 64, 384), -9, np.float32)
        small = np.asarray(Image.fromarray(image).resize((columns, rows), Image.Resampling.BOX))
        square[0, :rows, :columns] = np.tile(small.astype(np.float32), 128)
        info = np.array([image.shape[:2], [64, 64], [scale, scale], [0, 0]], np.float32)
        return square, info


@pytest.fixture(scope="module")
def text():
    return load_text_encoder(parameters.load().text)


class TestProtocol(SegmenterTests):
    labels_everywhere = True
    unit_features = False

    @pytest.fixture(scope="class")
    def segmenter(self, text):
        return OpenSegSegmenter("openseg", Model(), text, CPU)


def test_an_image_is_shown_as_it_is():
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(segmenter.encoded(image)))), image)


def test_each_pixel_has_the_nearest_feature_and_none_of_the_padding():
    feature = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    info = np.array([[2, 4], [4, 4], [1, 1], [0, 0]], np.float32)
    assert answer.pixels(feature, info, (2, 4))[..., 0].tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    info = np.array([[4, 8], [4, 4], [0.5, 0.5], [0, 0]], np.float32)
    found = answer.pixels(feature, info, (4, 8))[..., 0]
    assert found[0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3] and found[:, 0].tolist() == [0, 0, 4, 4]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda feature, info: (feature, info + 1), "image_info says that the image covers"),
        (
            lambda feature, info: (feature[0], info),
            r"wanted ppixel_ave_feat \[1, h, w, C\] and image_info \[4, 2\], found \[64, 64, 384\] and",
        ),
        (lambda feature, info: (feature * np.nan, info), "features are NaN or infinite"),
    ],
)
def test_an_answer_that_does_not_fit_is_refused(text, change, said):
    class Wrong(Model):
        def __call__(self, content):
            return change(*super().__call__(content))

    with pytest.raises(WeightsError, match=rf"openseg: .*({said})"):
        OpenSegSegmenter("openseg", Wrong(), text, CPU).describe(np.zeros((1, 6, 8, 3), np.uint8))


def test_what_is_missing_is_named(tmp_path, monkeypatch):
    params = parameters.load()
    section = dataclasses.replace(params.segmenters, weights=str(tmp_path))
    params = dataclasses.replace(params, segmenters=section)
    with pytest.raises(
        WeightsError, match=r"openseg/saved_model\.pb: no such.*anyscene weights fetch openseg"
    ):
        openseg.ENTRY.find(params)
    for file in openseg.FILES:
        (tmp_path / "openseg" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "openseg" / file).touch()
    there = importlib.util.find_spec("json")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: there)
    assert openseg.ENTRY.find(params) == str(tmp_path / "openseg")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tensorflow" else there)
    with pytest.raises(WeightsError, match=r'TensorFlow runs it, .* pip install "anyscene\[openseg\]"'):
        openseg.ENTRY.find(params)


def test_a_machine_without_tensorflow_is_told_of_the_extra():
    said = extras.remedy(ModuleNotFoundError("No module named 'tensorflow'", name="tensorflow"))
    assert said == 'needs tensorflow: pip install "anyscene[openseg]"'
