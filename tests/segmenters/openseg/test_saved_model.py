"""With TensorFlow: pip install "anyscene[openseg]"."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from anyscene.errors import TextError, WeightsError
from anyscene.segmenters.openseg import FILES
from anyscene.segmenters.openseg.segmenter import OpenSegSegmenter, encoded
from anyscene.testing import SegmenterTests
from tests.builders import small_seem

tf = pytest.importorskip("tensorflow")
small_openseg = pytest.importorskip("tests.builders.small_openseg")

pytestmark = pytest.mark.integration

CPU = torch.device("cpu")


class Text:
    """An encoder of OpenSeg's text space, by random vectors."""

    name, width = "open_clip:ViT-L-14-336:openai", 768

    def encode(self, texts):
        vectors = [np.random.default_rng(list(text.encode())).normal(size=self.width) for text in texts]
        found = np.array(vectors, np.float32).reshape(-1, self.width)
        return found / np.linalg.norm(found, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_openseg.write(tmp_path_factory.mktemp("weights") / "openseg")


@pytest.fixture(scope="module")
def model(folder):
    return OpenSegSegmenter.load("openseg", folder, Text(), CPU)


class TestProtocol(SegmenterTests):
    labels_everywhere = True
    unit_features = False

    @pytest.fixture(scope="class")
    def segmenter(self, model):
        return model


def as_openscene(image, loaded):
    """f4[H, W, C] as extract_openseg_img_feature computes it (pengsongyou/openscene,
    scripts/feature_fusion/fusion_util.py:42-68), restated."""
    found = loaded.signatures["serving_default"](
        inp_image_bytes=tf.constant(encoded(image)), inp_text_emb=tf.zeros([1, 1, 768])
    )
    size, scale = found["image_info"][0], found["image_info"][2]
    rows, columns = int(size[0] * scale[0]), int(size[1] * scale[1])
    inside = found["ppixel_ave_feat"][:, :rows, :columns]
    resize = tf.compat.v1.image.resize_nearest_neighbor
    return resize(inside, image.shape[:2], align_corners=True)[0].numpy()


def test_features_are_those_of_openscene(model, folder):
    loaded = tf.saved_model.load(str(folder), tags=["serve"])
    for image in small_seem.images():
        (found,) = model.describe(image[None])
        assert found.feature.dtype == torch.float32 and found.feature.device == CPU
        assert np.array_equal(found.feature.numpy(), as_openscene(image, loaded))


def test_a_label_is_the_most_similar_name(model):
    image, names = next(small_seem.images()), ("wall", "floor", "chair", "table")
    feature = model.describe(image[None])[0].feature.numpy()
    target = Text().encode([f"a {name} in a scene" for name in names])
    assert np.array_equal(model.label(image[None], names)[0], (feature @ target.T).argmax(2))


def test_the_text_space_is_that_of_openseg(folder):
    other = Text()
    other.name = "open_clip:ViT-L-14:openai"
    with pytest.raises(TextError, match=r"768 wide text space of CLIP ViT-L/14 at 336 pixels.*ViT-L-14-336"):
        OpenSegSegmenter.load("openseg", folder, other, CPU)


@pytest.mark.parametrize("file", FILES)
def test_what_is_cut_is_refused(folder, tmp_path, file):
    own = Path(shutil.copytree(folder, tmp_path / "openseg"))
    (own / file).write_bytes((own / file).read_bytes()[:-40])
    with pytest.raises(WeightsError, match=r"openseg.*: damaged SavedModel .*; get it again from https"):
        OpenSegSegmenter.load("openseg", own, Text(), CPU)


def test_what_would_write_files_is_refused(tmp_path):
    file = tmp_path / "written"
    own = small_openseg.write_reaching(tmp_path / "openseg", file)
    with pytest.raises(WeightsError, match=r"would do more than compute \(WriteFile\); nothing of it ran"):
        OpenSegSegmenter.load("openseg", own, Text(), CPU)
    assert not file.exists()


def test_another_signature_is_refused(tmp_path):
    module = tf.Module()
    module.answer = tf.function(
        lambda inp_text_emb: {"y": inp_text_emb},
        input_signature=[tf.TensorSpec([None, 1, 768], tf.float32, "inp_text_emb")],
    )
    own = tmp_path / "openseg"
    tf.saved_model.save(module, str(own), signatures={"serving_default": module.answer})
    with pytest.raises(WeightsError, match="a SavedModel of inp_text_emb to y; wanted inp_image_bytes"):
        OpenSegSegmenter.load("openseg", own, Text(), CPU)
