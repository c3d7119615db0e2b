"""`text.template` reaches every 2D model that encodes names or writes sentences."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import open_clip
import pytest
import torch

from anyscene import segmenters
from anyscene.project import parameters
from anyscene.segmenters import maskclip, openseg
from anyscene.segmenters.lseg import segmenter as lseg
from anyscene.segmenters.maskclip import segmenter as maskclip_segmenter
from anyscene.segmenters.named_masks import LabelledMaskModel
from anyscene.segmenters.openseg import segmenter as openseg_segmenter
from anyscene.segmenters.precomputed.image_index import image_key
from anyscene.segmenters.protocol import CaptionMap
from anyscene.segmenters.sam3 import segmenter as sam3
from anyscene.segmenters.seem import segmenter as seem
from anyscene.segmenters.universal import segmenter as universal
from tests.builders import REPOSITORY, small_lseg, small_sam3, small_seem, small_segmenters, small_universal

pytestmark = pytest.mark.integration

TEMPLATE = "one {} please"
VOCABULARY = ("wall", "orange tree", "table")
IMAGE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
NAMES = (*segmenters.REGISTRY.names(), "masks elsewhere", "captions elsewhere", "features elsewhere")
CLIP = {
    "embed_dim": 512,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 24, "patch_size": 8, "head_width": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


class Noting:
    """A text encoder that notes what it encodes."""

    name = "open_clip:ViT-B-32:openai"

    def __init__(self, width):
        self.width, self.noted = width, []

    def encode(self, texts):
        self.noted += texts
        rows = [np.random.default_rng(len(text)).random(self.width) for text in texts]
        return np.array([row / np.linalg.norm(row) for row in rows], np.float32).reshape(-1, self.width)


@pytest.fixture
def params(tmp_path):
    params = parameters.load(REPOSITORY / "params.yaml")
    section = dataclasses.replace(params.segmenters, weights=str(tmp_path))
    text = dataclasses.replace(params.text, template=TEMPLATE)
    return dataclasses.replace(params, segmenters=section, text=text)


@pytest.fixture
def load(params, tmp_path, folder_of, monkeypatch):
    """load(name): the model as `load_segmenter` gives it, small and of random weights, and the encoder."""

    def small(module, name, **settings):
        """Let the class that a module holds load with other settings by default."""
        kind = getattr(module, name)
        plain = kind.load.__func__
        monkeypatch.setattr(
            kind,
            "load",
            classmethod(lambda cls, *given, **asked: plain(cls, *given, **{**settings, **asked})),
        )

    def load(name, params=params):
        encoder = Noting(384 if name in ("dense", "mask") else 512)
        monkeypatch.setattr("anyscene.text.load_text_encoder", lambda section: encoder)
        if name == "lseg":
            state = {f"net.{key}": value for key, value in small_lseg.state().items()}
            (tmp_path / "lseg").mkdir()
            torch.save({"state_dict": state}, tmp_path / "lseg/demo_e200.ckpt")
            small(lseg, "LsegSegmenter", architecture=small_lseg.ARCHITECTURE)
        elif name == "seem":
            (tmp_path / "seem").mkdir()
            torch.save(small_seem.state("focall"), tmp_path / "seem/seem_focall_v0.pt")
            own, surest = tuple(small_seem.ARCHITECTURES.values()), small_seem.CONFIDENCE
            small(seem, "SeemSegmenter", architectures=own, confidence=surest, overlap=small_seem.OVERLAP)
        elif name == "maskclip":
            (tmp_path / "ViT-noting.json").write_text(json.dumps(CLIP))
            open_clip.add_model_config(tmp_path)
            tower = open_clip.create_model("ViT-noting", pretrained=None).visual.eval()
            monkeypatch.setattr(maskclip_segmenter, "load_tower", lambda encoder: tower)
        elif name == "openseg":  # without TensorFlow; its own tests load a SavedModel
            monkeypatch.setattr(openseg, "find", lambda folder: folder)
            monkeypatch.setattr(openseg_segmenter.OpenSegSegmenter, "load", classmethod(of_ones))
        elif name.endswith("elsewhere"):
            write_answers(tmp_path / name, name.split()[0])
        else:
            (tmp_path / name).symlink_to(folder_of(name))
        small(sam3, "Sam3Segmenter", confidence=small_sam3.CONFIDENCE)
        small(universal, "UniversalSegmenter", overlap=small_universal.OVERLAP, confidence=0.0)
        return segmenters.load_segmenter(name, params), encoder

    return load


def of_ones(cls, name, folder, text, device, template):
    """OpenSeg that answers with a feature of ones for each pixel of IMAGE."""
    size = IMAGE.shape[:2]
    info = np.array([size, size, (1, 1), (0, 0)], np.float32)

    def answer(image):
        return np.ones((1, *size, text.width), np.float32), info

    return cls(name, answer, text, device, template)


def write_answers(folder, kind):
    folder.mkdir()
    said = {"format": 1, "kind": "features"}
    if kind != "features":
        said |= {"kind": "masks", "labels": ["door"], "captions": kind == "captions"}
    (folder / "precomputed.json").write_text(json.dumps(said))
    mask = np.ones((1, *IMAGE.shape[:2]), bool)
    answer = {"mask": mask, "label": np.zeros(1, np.int32), "score": np.ones(1, np.float32)}
    if kind == "captions":
        answer["caption"] = np.array(["a red door"])
    if kind == "features":
        answer = {"feature": np.ones((6, 8, 512), np.float16)}
    np.savez(folder / f"{image_key(IMAGE)}.npz", **answer)


def test_all_models_are_here():
    assert {"lseg", "maskclip", "openseg", "seem", *small_segmenters.NAMES} == set(
        segmenters.REGISTRY.names()
    )
    assert maskclip.ENTRY.name == "maskclip"


@pytest.mark.parametrize("name", NAMES)
def test_the_template_reaches_the_model(load, name):
    segmenter, encoder = load(name)
    segmenter.label(IMAGE[None], VOCABULARY)
    (described,) = segmenter.describe(IMAGE[None], VOCABULARY)
    about = [text for text in encoder.noted if any(word in text for word in VOCABULARY)]
    if name not in ("grounded", "sam3"):  # these find names in images themselves
        assert set(about) >= {TEMPLATE.format(word) for word in VOCABULARY}
    if name == "mask":  # it compares what it sees with its own names, in the sentence that it was taught
        about = [text for text in about if text.startswith("one ")]
    assert all(text.startswith("one ") and text.endswith(" please") for text in about), about
    if isinstance(described, CaptionMap):
        assert described.text, "this test wants a mask"
        assert all(text.startswith("one ") and text.endswith(" please") for text in described.text)


@pytest.mark.parametrize("nouns", ["own", "vocabulary"])
@pytest.mark.parametrize("name", NAMES)
def test_captions_say_what_the_setting_says(load, params, name, nouns):
    """Labels of the model's own, where it has any, or names of the vocabulary."""
    section = dataclasses.replace(params.segmenters, nouns=nouns)
    model, _ = load(name, dataclasses.replace(params, segmenters=section))
    (described,) = model.describe(IMAGE[None], VOCABULARY)
    labelled = isinstance(model, LabelledMaskModel)
    assert segmenters.has_own_labels(name, section) == labelled
    if isinstance(described, CaptionMap):
        wanted = model.labels if labelled and nouns == "own" else VOCABULARY
        assert segmenters.looks_at_vocabulary(name, section) == (wanted is VOCABULARY)
        endings = tuple(f" {noun} please" for noun in wanted)
        assert described.text and all(text.endswith(endings) for text in described.text)
