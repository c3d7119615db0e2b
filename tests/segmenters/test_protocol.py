import dataclasses

import numpy as np
import pytest
import torch

from anyscene.project import parameters
from anyscene.segmenters import CaptionMap, FeatureMap, Segmenter, load_segmenter
from anyscene.testing import SegmenterTests
from anyscene.testing.segmenters import SHAPES, noise
from anyscene_demo.segmenters.mask.segmenter import MaskSegmenter, ScoredMasks
from tests.builders.small_segmenters import NAMES

pytestmark = pytest.mark.integration


class TestDense(SegmenterTests):
    labels_everywhere = True

    @pytest.fixture(scope="class")
    def segmenter(self, build):
        return build("dense")

    @pytest.mark.parametrize("shape", SHAPES)
    def test_features_are_as_wide_as_the_text_space(self, segmenter, minilm, shape):
        (found,) = segmenter.describe(noise(shape, 1), VOCABULARY)
        assert found.feature.shape[2] == minilm.width


LABELLED = ("mask", "mask2former", "oneformer")  # models with labels of their own


class TestMasksThatLookForTheVocabulary(SegmenterTests):
    @pytest.fixture(scope="class", params=[name for name in NAMES if name not in ("dense", *LABELLED)])
    def segmenter(self, request, build):
        return build(request.param)


class TestMasksOfTheVocabulary(SegmenterTests):
    @pytest.fixture(scope="class", params=LABELLED)
    def segmenter(self, request, build):
        return build(request.param, nouns="vocabulary")


class TestMasksWithLabels(SegmenterTests):
    own_labels = True

    @pytest.fixture(scope="class", params=LABELLED)
    def segmenter(self, request, build):
        return build(request.param)


VOCABULARY = SegmenterTests.vocabulary


@pytest.mark.parametrize("name", NAMES)
def test_loads_by_name_and_without_network(folder_of, name, offline):
    params = parameters.load()
    section = dataclasses.replace(params.segmenters, weights=str(folder_of(name).parent))
    found = load_segmenter(name, dataclasses.replace(params, segmenters=section))
    assert isinstance(found, Segmenter) and found.name == name and offline == []


@pytest.mark.parametrize("name", ["grounded", "sam3"])
def test_where_nothing_is_sure_nothing_is_said(build, name):
    model, image = build(name, confidence=1.0), noise((30, 40), 1)
    assert (model.label(image, VOCABULARY) == -1).all() and (model.label(image, ()) == -1).all()
    (found,) = model.describe(image, VOCABULARY)
    assert found.text == () and (found.caption == -1).all()


@pytest.fixture
def with_masks(random_weights, minilm, monkeypatch):
    """The mask model, which finds what a test gives it."""
    segmenter = MaskSegmenter("mask", random_weights / "mask", minilm)

    def find(owner):
        count = int(owner.max()) + 1
        monkeypatch.setattr(
            segmenter, "masks", lambda image: ScoredMasks(owner, np.arange(count), torch.ones(count))
        )
        return segmenter

    return find


def test_no_detections_at_all(with_masks):
    model = with_masks(np.full((30, 40), -1, np.int32))
    assert (model.label(noise((30, 40), 1), VOCABULARY) == -1).all()
    found = model.describe(noise((30, 40), 1), VOCABULARY)[0]
    assert (found.caption == -1).all() and found.text == ()


def test_one_pixel_masks(with_masks):
    owner = np.full((30, 40), -1, np.int32)
    owner[3, 5], owner[29, 39] = 0, 1
    model = with_masks(owner)
    found = model.describe(noise((30, 40), 1), VOCABULARY)[0]
    assert (found.caption >= 0).sum() == 2
    assert (model.label(noise((30, 40), 1), VOCABULARY) >= 0).sum() == 2


def test_masks_of_one_caption_share_it(with_masks, monkeypatch):
    owner = np.zeros((10, 10), np.int32)
    owner[5:] = 1
    model = with_masks(owner)
    white = np.full((1, 10, 10, 3), 255, np.uint8)
    first, second = model.labels[:2]
    assert model.describe(white)[0].text == (f"a white {first} in a scene", f"a white {second} in a scene")
    monkeypatch.setattr(model, "nouns", "vocabulary")
    found = model.describe(white, ("chair",))[0]
    assert found.text == ("a white chair in a scene",) and (found.caption == 0).all()


def test_masks_carry_the_names_that_the_model_knows(random_weights, minilm):
    model = MaskSegmenter("mask", random_weights / "mask", minilm)  # of names it knows "wall" and "sofa"
    images = np.concatenate([noise((60, 80), 2), np.full((1, 60, 80, 3), 200, np.uint8)])
    assert set(np.unique(model.label(images, ("floor", "wall", "sofa")))) <= {-1, 1, 2}
    assert set(np.unique(model.label(images, ("couch", "ceiling", "banana")))) <= {-1, 0, 1}


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_computes_with_halves_and_answers_in_single(build, name, monkeypatch):
    """Labels of models of random weights are not compared: near ties they may change.

    A product in bfloat16 rounds its input, its weights and its result, each by a unit roundoff of 2^-8 at
    most. Such errors are independent, so that behind P products the squared relative error of all features
    together is at most 3 P 2^-16. How a CPU adds up the terms of a product decides which way a result is
    rounded, so the error of single cells differs between CPUs and is not bounded here.
    """
    kinds, products = set(), {torch.float32: 0, torch.bfloat16: 0}

    def noticing(product):
        def noticed(*arguments, **options):
            found = product(*arguments, **options)
            kinds.add(found.dtype)
            products[found.dtype] += 1
            return found

        return noticed

    images = noise((60, 80), 1)
    half, single = build(name, precision="bfloat16"), build(name)
    for product in ("linear", "conv2d"):
        monkeypatch.setattr(torch.nn.functional, product, noticing(getattr(torch.nn.functional, product)))
    single.label(images, VOCABULARY)
    assert kinds <= {torch.float32}
    labels = half.label(images, VOCABULARY)
    products[torch.bfloat16] = 0
    (found,) = half.describe(images, VOCABULARY)
    assert torch.bfloat16 in kinds and labels.shape == (1, 60, 80)
    if isinstance(found, FeatureMap):
        assert found.feature.dtype == torch.float32
        (wanted,) = single.describe(images, VOCABULARY)
        error = (found.feature - wanted.feature).square().sum() / wanted.feature.square().sum()
        assert 0 < error < 3 * products[torch.bfloat16] * 2.0**-16


def test_maps_check_their_arrays():
    with pytest.raises(ValueError, match=r"a feature map is \[h, w, C\] and not empty, got \(4, 4\)"):
        FeatureMap(torch.zeros(4, 4))
    with pytest.raises(ValueError, match=r"a caption map is i4\[H, W\], got float64\[4, 4\]"):
        CaptionMap(np.zeros((4, 4)), ())
    with pytest.raises(ValueError, match=r"caption ids must lie in -1\.\.-1"):
        CaptionMap(np.zeros((4, 4), np.int32), ())
