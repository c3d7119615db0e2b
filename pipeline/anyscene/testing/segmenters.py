"""What a 2D model must satisfy: `anyscene.segmenters.Segmenter`."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import torch

from anyscene.arrays import U1
from anyscene.segmenters.protocol import CaptionMap, FeatureMap, Segmenter

SHAPES = [(96, 96), (48, 48), (60, 80), (80, 60), (45, 160), (160, 30), (1, 1), (7, 300)]  # height, width


def noise(shape: tuple[int, int], count: int = 2, seed: int = 0) -> U1:
    """u1[count, H, W, 3]: images of independent pixels. shape: (H, W)."""
    return np.random.default_rng(seed).integers(0, 256, (count, *shape, 3), dtype=np.uint8)


class SegmenterTests:
    """Tests of a 2D model. The fixture `segmenter` returns the model.

        class TestMine(SegmenterTests):
            labels_everywhere = True  # it is a dense model

            @pytest.fixture
            def segmenter(self):
                return MySegmenter(small_network())

    Weights may be random. A small network suffices, and keeps the suite fast.
    """

    # The names among which the model chooses.
    vocabulary: ClassVar[tuple[str, ...]] = ("wall", "floor", "chair", "table", "orange tree")
    # Whether every pixel of every image gets a label, as dense models do it.
    labels_everywhere: ClassVar[bool] = False
    # Whether the features of a dense model have length 1.
    unit_features: ClassVar[bool] = True
    # Whether the features of a dense model depend on the vocabulary, as its entry says.
    looks_at_vocabulary: ClassVar[bool] = False
    # Whether captions say labels of the model's own, as its entry says, and not names of the vocabulary.
    own_labels: ClassVar[bool] = False
    # The end of every caption of a mask model, with {} for what it says; None: captions are not tested.
    sentence: ClassVar[str | None] = " {} in a scene"

    @pytest.fixture
    def segmenter(self) -> Segmenter:
        """The model to test."""
        raise pytest.UsageError("give the fixture `segmenter` in the class that derives from SegmenterTests")

    def test_is_a_segmenter(self, segmenter: Segmenter) -> None:
        assert isinstance(segmenter, Segmenter)
        assert isinstance(segmenter.name, str) and segmenter.name

    @pytest.mark.parametrize("shape", SHAPES)
    def test_labels_cover_the_image(self, segmenter: Segmenter, shape: tuple[int, int]) -> None:
        labels = segmenter.label(noise(shape), self.vocabulary)
        assert labels.shape == (2, *shape) and labels.dtype == np.int16
        assert labels.min() >= (0 if self.labels_everywhere else -1)
        assert labels.max() < len(self.vocabulary)

    @pytest.mark.parametrize("shape", SHAPES)
    def test_descriptions_agree_with_labels(self, segmenter: Segmenter, shape: tuple[int, int]) -> None:
        images = noise(shape)
        described: list[FeatureMap | CaptionMap] = [*segmenter.describe(images, self.vocabulary)]
        labels = segmenter.label(images, self.vocabulary)
        assert len(described) == len(images)
        for found, label in zip(described, labels, strict=True):
            if isinstance(found, FeatureMap):
                self._check_features(found)
                continue
            assert found.caption.shape == shape
            # a pixel has a caption if, and only if, it has a label
            assert np.array_equal(found.caption < 0, label < 0)
            for caption, words in enumerate(found.text):
                names = {self.vocabulary[k] for k in np.unique(label[found.caption == caption])}
                assert len(names) == 1
                if self.sentence is not None and not self.own_labels:
                    assert words.endswith(self.sentence.format(names.pop()))

    def _check_features(self, found: FeatureMap) -> None:
        length = found.feature.float().norm(dim=2).cpu()
        assert torch.isfinite(length).all()
        assert not self.unit_features or torch.allclose(length, torch.ones(()), atol=1e-5)

    def test_a_model_does_not_look_at_the_vocabulary(self, segmenter: Segmenter) -> None:
        """But where it says so. The stage `projection` shows it none: another one leaves what it says."""
        images = noise((60, 80), 1)
        (found,) = segmenter.describe(images, self.vocabulary)
        if self.looks_at_vocabulary or (isinstance(found, CaptionMap) and not self.own_labels):
            return
        for other in ((), self.vocabulary[:1]):
            _require_equal(found, segmenter.describe(images, other)[0])

    def test_all_features_are_of_one_width(self, segmenter: Segmenter) -> None:
        described = [segmenter.describe(noise(shape, 1), self.vocabulary)[0] for shape in SHAPES[:3]]
        assert len({type(found) for found in described}) == 1
        assert len({found.feature.shape[2] for found in described if isinstance(found, FeatureMap)}) <= 1

    def test_batches_make_no_difference(self, segmenter: Segmenter) -> None:
        images = noise((60, 80), 4)
        together = segmenter.label(images, self.vocabulary)
        alone = [segmenter.label(image[None], self.vocabulary) for image in images]
        assert np.array_equal(together, np.concatenate(alone))

    def test_the_same_image_gets_the_same_answer(self, segmenter: Segmenter) -> None:
        images = noise((60, 80), 1)
        _require_equal(*(segmenter.describe(images, self.vocabulary)[0] for _ in range(2)))

    def test_images_are_left_as_they_are(self, segmenter: Segmenter) -> None:
        images = noise((60, 80), 1)
        images.flags.writeable = False
        segmenter.label(images, self.vocabulary)
        segmenter.describe(images, self.vocabulary)
        assert np.array_equal(images, noise((60, 80), 1))

    def test_no_images_have_no_answers(self, segmenter: Segmenter) -> None:
        none = np.zeros((0, 48, 64, 3), np.uint8)
        assert segmenter.label(none, self.vocabulary).shape == (0, 48, 64)
        assert segmenter.describe(none, self.vocabulary) == []


def _require_equal(first: FeatureMap | CaptionMap, second: FeatureMap | CaptionMap) -> None:
    assert type(first) is type(second)
    if isinstance(first, FeatureMap) and isinstance(second, FeatureMap):
        assert torch.equal(first.feature, second.feature)
    if isinstance(first, CaptionMap) and isinstance(second, CaptionMap):
        assert np.array_equal(first.caption, second.caption) and first.text == second.text
