import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file

from anyscene.errors import WeightsError
from anyscene.project import parameters
from anyscene.segmenters import load_segmenter
from anyscene.segmenters.captions import blip
from anyscene.segmenters.captions.blip import BlipCaptioner
from anyscene.segmenters.precomputed.segmenter import PrecomputedFeatures
from anyscene_demo.segmenters.mask.segmenter import MaskSegmenter
from tests.builders import small_blip

CPU = torch.device("cpu")
VOCABULARY = ("wall", "floor", "chair", "table")
IMAGE = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_blip.write(tmp_path_factory.mktemp("weights") / "blip")


@pytest.fixture(scope="module")
def captioner(folder):
    return BlipCaptioner.load(folder, CPU)


@pytest.fixture
def copy(folder, tmp_path):
    return Path(shutil.copytree(folder, tmp_path / "blip"))


def patch(seed, size=(20, 30)):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def test_captions_equal_a_greedy_reading_word_by_word(captioner, folder, monkeypatch):
    """With one beam: the likeliest next token after the prompt, one at a time."""
    monkeypatch.setattr(blip, "BEAMS", 1)
    monkeypatch.setattr(blip, "LENGTH", 5)
    network = transformers.BlipForConditionalGeneration.from_pretrained(folder).eval()
    tokenizer = transformers.BertTokenizer.from_pretrained(folder)
    processor = transformers.BlipImageProcessor.from_pretrained(folder)
    said = set()
    for seed in range(4):
        image = patch(seed)
        pixels = processor(images=[Image.fromarray(image)], return_tensors="pt")["pixel_values"]
        tokens = [30522, *tokenizer("a picture of", add_special_tokens=False)["input_ids"]]  # [DEC]
        with torch.inference_mode():
            seen = network.vision_model(pixel_values=pixels)[0]
            for _ in range(5):
                logits = network.text_decoder(
                    input_ids=torch.tensor([tokens]), encoder_hidden_states=seen, is_decoder=True
                ).logits
                tokens.append(int(logits[0, -1].argmax()))
                if tokens[-1] == 102:  # [SEP]
                    break
        wanted = tokenizer.decode([one for one in tokens if one < 30522], skip_special_tokens=True)
        assert captioner.caption(image) == wanted and wanted.startswith("a picture of")
        said.add(wanted)
    assert len(said) > 1


@pytest.mark.parametrize("size", [(3, 40), (40, 3), (1, 9), (1, 1), (45, 160), (160, 30), (60, 80), (7, 300)])
def test_images_of_any_shape_are_seen_as_they_are(captioner, folder, size):
    seen = []
    keep = lambda module, arguments, named: seen.append(named["pixel_values"])  # noqa: E731
    image = patch(5, size)
    with captioner.network.vision_model.register_forward_pre_hook(keep, with_kwargs=True):
        captioner.caption(image)
    processor = transformers.BlipImageProcessor.from_pretrained(folder)
    wanted = processor(images=[Image.fromarray(image)], return_tensors="pt")["pixel_values"]
    assert torch.equal(seen[0], wanted)


@pytest.mark.parametrize(
    ("rows", "columns", "wanted"),
    [
        ((10, 20), (10, 30), (9, 21, 8, 32)),
        ((0, 30), (0, 40), (0, 30, 0, 40)),
        ((0, 10), (30, 40), (0, 11, 29, 40)),
        ((3, 4), (39, 40), (3, 4, 39, 40)),  # one pixel
    ],
)
def test_a_crop_holds_the_mask_and_a_margin(rows, columns, wanted):
    mask = np.zeros((30, 40), bool)
    mask[slice(*rows), slice(*columns)] = True
    down, right = blip.crop(mask)
    assert (down.start, down.stop, right.start, right.stop) == wanted


def test_only_adjectives_of_what_is_under_the_mask_are_kept(captioner, monkeypatch):
    seen = []

    def say(image):
        seen.append(image)
        return "a picture of a small wooden bench next to a red wall"

    monkeypatch.setattr(captioner, "caption", say)
    mask = np.zeros((30, 40), bool)
    mask[10:20, 10:30] = True
    assert captioner.modifiers(IMAGE, [mask]) == ["small wooden"]
    assert len(seen) == 1 and np.array_equal(seen[0], IMAGE[9:21, 8:32])
    nothing = np.zeros((30, 40), bool)
    assert captioner.modifiers(IMAGE, [nothing, mask]) == ["", "small wooden"] and len(seen) == 2


@pytest.fixture
def params(folder, random_weights):
    """With the demo's mask model and answers of another, both captioned by BLIP."""
    root = folder.parent
    if not (root / "mask").exists():
        shutil.copytree(random_weights / "mask", root / "mask")
        for kind in ("masks", "features"):
            (root / kind).mkdir()
            content = {"format": 1, "kind": kind, "labels": ["wall"]}
            (root / kind / "precomputed.json").write_text(json.dumps(content))
    params = parameters.load()
    section = dataclasses.replace(params.segmenters, weights=str(root), captioner="blip")
    return dataclasses.replace(params, segmenters=section)


def colours(params):
    section = dataclasses.replace(params.segmenters, captioner="colour")
    return dataclasses.replace(params, segmenters=section)


def test_mask_models_are_captioned_by_it_without_network(params, offline, monkeypatch):
    segmenter = load_segmenter("mask", params)
    assert isinstance(segmenter, MaskSegmenter) and isinstance(segmenter.captioner, BlipCaptioner)
    assert offline == []
    monkeypatch.setattr(segmenter.captioner, "caption", lambda image: "an old bed")
    (found,) = segmenter.describe(IMAGE[None], VOCABULARY)
    plain = load_segmenter("mask", colours(params))
    (wanted,) = plain.describe(IMAGE[None], VOCABULARY)
    assert np.array_equal(found.caption < 0, wanted.caption < 0)
    assert found.text and set(found.text) <= {f"an old {label} in a scene" for label in segmenter.labels}
    assert np.array_equal(segmenter.label(IMAGE[None], VOCABULARY), plain.label(IMAGE[None], VOCABULARY))


def test_only_captions_need_its_weights(params, monkeypatch):
    section = dataclasses.replace(params.segmenters, names=("mask",))
    shutil.move(Path(section.weights) / "blip", Path(section.weights) / "away")
    try:
        for name in ("mask", "masks"):
            with pytest.raises(
                WeightsError, match=r"blip/config\.json: no such weights; .*captioner: colour"
            ):
                load_segmenter(name, params)
            load_segmenter(name, params, captions=False)
        assert isinstance(load_segmenter("features", params), PrecomputedFeatures)
    finally:
        shutil.move(Path(section.weights) / "away", Path(section.weights) / "blip")


@pytest.mark.parametrize("file", blip.FILES)
def test_a_missing_file_is_named(copy, file):
    (copy / file).unlink()
    with pytest.raises(
        WeightsError, match=rf"{copy / file}: no such weights; .*Salesforce.*captioner: colour"
    ):
        BlipCaptioner.load(copy, CPU)


def test_damaged_files_are_refused(copy):
    whole = (copy / "model.safetensors").read_bytes()
    for keep in (0, 100, len(whole) - 5):
        (copy / "model.safetensors").write_bytes(whole[:keep])
        with pytest.raises(WeightsError, match=rf"{copy}: damaged weights"):
            BlipCaptioner.load(copy, CPU)
    (copy / "model.safetensors").write_bytes(whole)
    tensors = load_file(copy / "model.safetensors")
    missing = next(name for name in tensors if "crossattention" in name)
    save_file(
        {name: tensors[name] for name in tensors if name != missing},
        copy / "model.safetensors",
        {"format": "pt"},
    )
    with pytest.raises(
        WeightsError, match=rf"another architecture: {missing} is missing; get the folder again from"
    ):
        BlipCaptioner.load(copy, CPU)
    for file in ("config.json", "preprocessor_config.json", "tokenizer.json"):
        (copy / file).write_text("{")
        with pytest.raises(WeightsError, match=rf"{copy}(: damaged weights|/config.json: not readable)"):
            BlipCaptioner.load(copy, CPU)
