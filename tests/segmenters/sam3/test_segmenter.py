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
from anyscene.segmenters import sam3
from anyscene.segmenters.sam3.segmenter import Sam3Segmenter
from tests.builders import small_sam3
from tests.builders.small_sam3 import CONFIDENCE, GRID

pytestmark = pytest.mark.integration

CPU = torch.device("cpu")
VOCABULARY = ("sofa", "shower curtain", "Wall", "what!")


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def load(sam3_weights):
    def load(folder=sam3_weights, confidence=CONFIDENCE):
        return Sam3Segmenter.load("sam3", folder, CPU, confidence=confidence)

    return load


@pytest.fixture
def answering(load):
    """answering(answer): the model with a network that gives this answer for every image."""
    return lambda answer: Sam3Segmenter("sam3", Answering(load().network, answer), CPU, confidence=CONFIDENCE)


@pytest.fixture
def copy(sam3_weights, tmp_path):
    """A copy of the model's folder, to be damaged."""
    return Path(shutil.copytree(sam3_weights, tmp_path / "sam3"))


@pytest.fixture(scope="module")
def processor(clip_tokenizer):
    """transformers' own."""
    images = transformers.Sam3ImageProcessor(size={"height": small_sam3.SIDE, "width": small_sam3.SIDE})
    return transformers.Sam3Processor(images, clip_tokenizer)


def test_masks_equal_those_of_transformers(load, processor, sam3_weights):
    """On images of the size of the masks, where enlarging before or after the sigmoid is the same."""
    model = transformers.Sam3Model.from_pretrained(sam3_weights).eval()
    seen = set()
    for seed in range(3):
        image = noise(GRID, GRID, seed)
        wanted, best, found = np.full((GRID, GRID), -1), np.zeros((GRID, GRID)), 0
        for index, name in enumerate(VOCABULARY):
            inputs = processor(images=Image.fromarray(image), text=name, return_tensors="pt")
            with torch.inference_mode():
                output = model(
                    **{key: inputs[key] for key in ("pixel_values", "input_ids", "attention_mask")}
                )
            (answer,) = processor.post_process_instance_segmentation(
                output, threshold=CONFIDENCE, target_sizes=[(GRID, GRID)]
            )
            for mask, score in zip(answer["masks"], answer["scores"], strict=True):
                better = mask.bool().numpy() & (float(score) > best)
                wanted[better], best[better] = index, float(score)
            found += len(answer["masks"])
        label = load().label(image[None], VOCABULARY)[0]
        assert (label != wanted).mean() < 0.01
        seen |= set(np.unique(wanted)) | {-found}
    assert len(seen) >= 3 and min(seen) < -2


def test_masks_are_enlarged_before_they_are_cut(answering):
    answer = type("Answer", (), {})()
    answer.pred_logits, answer.presence_logits = torch.full((1, 1), 9.0), torch.full((1, 1), 9.0)
    answer.pred_masks = torch.tensor([[[[9.0, -3.0]]]])
    segmenter = answering(answer)
    # the fifth logit is 1.5; between the sigmoid's values there would be 0.4
    assert segmenter.label(noise(2, 8)[None], ("sofa",))[0].tolist() == [[0] * 5 + [-1] * 3] * 2


class Answering:
    """A network that takes images as `network` does and gives `answer` for all of them."""

    def __init__(self, network, answer):
        self.config, self.get_vision_features = network.config, network.get_vision_features
        self._answer = answer

    def __call__(self, **inputs):
        return self._answer


def test_one_pixel_masks(answering):
    answer = type("Answer", (), {})()
    answer.pred_logits, answer.presence_logits = torch.tensor([[9.0, 8.0, -9.0]]), torch.full((1, 1), 9.0)
    answer.pred_masks = torch.full((1, 3, 6, 9), -5.0)
    answer.pred_masks[0, 0, 2, 3] = answer.pred_masks[0, 1, 5, 8] = answer.pred_masks[0, 2, 0, 0] = 5
    segmenter = answering(answer)
    label = segmenter.label(noise(6, 9)[None], VOCABULARY)[0]
    assert (label >= 0).sum() == 2 and label[2, 3] == label[5, 8] == 0  # of equals the first name


@pytest.mark.parametrize("part", ["pred_logits", "presence_logits", "pred_masks"])
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_nan_is_no_answer(answering, part, value):
    answer = type("Answer", (), {})()
    answer.pred_logits, answer.presence_logits = torch.full((1, 3), 9.0), torch.full((1, 1), 9.0)
    answer.pred_masks = torch.full((1, 3, 6, 9), 5.0)
    getattr(answer, part)[0, 0] = value
    segmenter = answering(answer)
    with pytest.raises(WeightsError, match=r"^sam3: masks are NaN or infinite: damaged weights.*precision"):
        segmenter.label(noise(6, 9)[None], VOCABULARY)


def test_what_is_not_in_the_image_has_no_masks(answering):
    answer = type("Answer", (), {})()
    answer.pred_logits, answer.presence_logits = torch.full((1, 1), 9.0), torch.full((1, 1), -2.0)  # 0.12
    answer.pred_masks = torch.ones(1, 1, 6, 9)
    segmenter = answering(answer)
    assert (segmenter.label(noise(6, 9)[None], VOCABULARY) == -1).all()


def test_names_are_told_as_the_processor_would(load, processor):
    segmenter, seen = load(), []
    keep = lambda module, arguments, named: seen.append(named)  # noqa: E731
    with segmenter.network.register_forward_pre_hook(keep, with_kwargs=True):
        segmenter.label(noise(20, 20)[None], VOCABULARY)
    for name, asked in zip(VOCABULARY, seen, strict=True):
        wanted = processor(text=name, return_tensors="pt")
        inside = wanted["attention_mask"].bool()
        assert torch.equal(asked["attention_mask"].bool(), inside)
        assert torch.equal(asked["input_ids"][inside], wanted["input_ids"][inside])


@pytest.mark.parametrize("size", [(3, 40), (40, 3), (1, 9), (9, 1), (3, 3)])
def test_few_rows_are_not_taken_for_channels(load, processor, size):
    image, segmenter, seen = noise(*size), load(), []
    keep = lambda module, arguments: seen.append(arguments[0])  # noqa: E731
    with segmenter.network.vision_encoder.register_forward_pre_hook(keep):
        assert segmenter.label(image[None], VOCABULARY).shape == (1, *size)
    wanted = processor(images=Image.fromarray(image), return_tensors="pt")["pixel_values"]
    assert torch.equal(seen[0], wanted)


def test_the_published_form_gives_the_same(load, sam3_weights, tmp_path):
    image = noise(30, 40)
    published = load(small_sam3.publish(sam3_weights, tmp_path / "sam3"))
    assert np.array_equal(published.label(image[None], VOCABULARY), load().label(image[None], VOCABULARY))


@pytest.mark.parametrize("file", sam3.FILES)
def test_a_missing_file_is_named(load, copy, file):
    (copy / file).unlink()
    with pytest.raises(
        WeightsError, match=rf"{copy / file}: no such weights; .*facebook/sam3.*take `sam3` out"
    ):
        load(copy)


def test_damaged_files_are_refused(load, copy):
    tensors = copy / "model.safetensors"
    whole = tensors.read_bytes()
    for keep in (0, 100, len(whole) - 5):
        tensors.write_bytes(whole[:keep])
        with pytest.raises(WeightsError, match=rf"{copy}: damaged weights"):
            load(copy)
    tensors.write_bytes(whole)
    state = load_file(tensors)
    missing = next(key for key in state if key.startswith("detr_decoder"))
    save_file({key: state[key] for key in state if key != missing}, tensors, {"format": "pt"})
    with pytest.raises(WeightsError, match=rf"another architecture: {missing} is missing"):
        load(copy)
    (copy / "config.json").write_text(json.dumps({"model_type": "sam2"}))
    with pytest.raises(WeightsError, match=r"config\.json: describes a 'sam2' model, wanted sam3_video"):
        load(copy)
    (copy / "config.json").write_text("{")
    with pytest.raises(WeightsError, match=r"config\.json: not readable"):
        load(copy)
