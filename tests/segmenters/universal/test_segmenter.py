import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file, save_file

from anyscene.errors import WeightsError
from anyscene.segmenters.class_names import names
from anyscene.segmenters.universal import FILES
from anyscene.segmenters.universal import segmenter as universal
from anyscene.segmenters.universal.segmenter import UniversalSegmenter, panoptic
from tests.builders import small_universal
from tests.builders.small_universal import OVERLAP

pytestmark = pytest.mark.integration

VOCABULARY = ("sofa", "table", "wall", "floor", "door")
CPU = torch.device("cpu")
NAMES = ("mask2former", "oneformer")
both = pytest.mark.parametrize("name", NAMES)


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def copy(universal_weights, tmp_path):
    """A copy of a model's folder, to be damaged."""
    return lambda name: Path(shutil.copytree(universal_weights / name, tmp_path / name))


@pytest.fixture(scope="module")
def load(universal_weights, minilm):
    def load(name, folder=None):
        return UniversalSegmenter.load(name, folder or universal_weights / name, minilm, CPU, overlap=OVERLAP)

    return load


@pytest.fixture(scope="module")
def task(clip_tokenizer):
    """What OneFormer is told, as its processor makes it."""
    processor = transformers.OneFormerProcessor(transformers.OneFormerImageProcessor(), clip_tokenizer)
    return processor(images=[noise(20, 20)], task_inputs=["panoptic"], return_tensors="pt")["task_inputs"]


@both
def test_masks_equal_those_of_transformers_where_a_mask_is_sure(load, universal_weights, name, task):
    """transformers' own processor and post-processing, on images of the size in which it compares masks:
    384 x 384 for Mask2Former, the network's grid for OneFormer. It also gives pixels to masks that do not
    claim them."""
    side = 384 if name == "mask2former" else 16
    kind = small_universal.KIND[name]
    model = getattr(transformers, f"{kind}ForUniversalSegmentation").from_pretrained(universal_weights / name)
    processor = getattr(transformers, f"{kind}ImageProcessor")(size=small_universal.SIZE)
    extra = {"task_inputs": task} if name == "oneformer" else {}
    own = ["wall", "floor", "sofa", "table", "door"]  # what the model's classes are in the vocabulary
    seen = set()
    for seed in range(4):
        image = noise(side, side, seed)
        with torch.inference_mode():
            inputs = processor(images=[image], return_tensors="pt")
            output = model.eval()(pixel_values=inputs["pixel_values"], **extra)
        (wanted,) = processor.post_process_panoptic_segmentation(
            output, 0.8, 0.5, OVERLAP, label_ids_to_fuse=set(), target_sizes=[(side, side)]
        )
        score, label = output.class_queries_logits[0].softmax(1).max(1)
        kept = (label < len(own)) & (score > 0.8)
        assert kept.sum() >= 3 and (score[kept] > 0.999).all()  # then both rules choose alike
        logit = torch.nn.functional.interpolate(output.masks_queries_logits, (side, side), mode="bilinear")[0]
        claimed = (logit[kept] >= 0).any(0).numpy()
        names = {0: -1, -1: -1}
        names |= {one["id"]: VOCABULARY.index(own[one["label_id"]]) for one in wanted["segments_info"]}
        reference = np.array([[names[int(one)] for one in row] for row in wanted["segmentation"]])
        found = load(name).label(image[None], VOCABULARY)[0]
        assert np.array_equal(found, np.where(claimed, reference, -1))
        seen |= set(np.unique(found))
    assert len(seen) >= 3


def slow_panoptic(classes, masks, confidence, overlap):
    """Masks in their own size, one pixel and one query at a time."""
    kept = []
    for query, logit in enumerate(classes):
        probability = np.exp(logit - logit.max()) / np.exp(logit - logit.max()).sum()
        label = int(probability.argmax())
        if label < len(logit) - 1 and probability[label] > confidence:
            kept.append((query, label, probability[label]))
    height, width = masks.shape[1:]
    label, best = np.full((height, width), -1), {}
    for place in np.ndindex(height, width):
        scores = [score / (1 + np.exp(-masks[query][place])) for query, _, score in kept]
        best[place] = int(np.argmax(scores)) if scores else -1
    for number, (query, name, _) in enumerate(kept):
        claims = [place for place in best if masks[query][place] >= 0]
        won = [place for place in best if best[place] == number]
        if claims and len(won) / len(claims) >= overlap:
            for place in won:
                if place in claims:
                    label[place] = name
    return label


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 2**31), st.integers(1, 6), st.sampled_from([0.0, 0.4, 0.8]), st.sampled_from([0.3, 0.77])
)
def test_panoptic_equals_its_slow_twin(seed, queries, confidence, overlap):
    random = np.random.default_rng(seed)
    classes = random.normal(0, 4, (queries, 4)).astype(np.float32)
    masks = random.normal(0, 2, (queries, 5, 7)).astype(np.float32)
    owner, label = panoptic(torch.from_numpy(classes), torch.from_numpy(masks), (5, 7), confidence, overlap)
    found = np.where(owner >= 0, np.append(label, -1)[owner], -1)
    assert owner.dtype == np.int32
    assert np.array_equal(found, slow_panoptic(classes, masks, confidence, overlap))


def test_panoptic_enlarges_masks_before_it_compares_them():
    masks = torch.tensor([[[4.0, -4.0]], [[-4.0, 4.0]]])
    owner, label = panoptic(torch.tensor([[9.0, 0, 0], [0, 9.0, 0]]), masks, (2, 8), 0.8, 0.8)
    assert np.array_equal(owner, [[0, 0, 0, 0, 1, 1, 1, 1]] * 2) and label.tolist() == [0, 1]


def test_one_pixel_masks():
    masks = torch.full((2, 6, 9), -5.0)
    masks[0, 2, 3] = masks[1, 5, 8] = 5
    owner, label = panoptic(torch.tensor([[9.0, 0, 0], [0, 9.0, 0]]), masks, (6, 9), 0.8, 0.8)
    assert (owner >= 0).sum() == 2 and owner[2, 3] == 0 and owner[5, 8] == 1 and label.tolist() == [0, 1]


@both
def test_no_detections_at_all(load, name):
    segmenter = load(name)
    for key, value in segmenter.network.named_parameters():
        if "class_predictor" in key or "class_embed" in key:
            value.zero_()
            if key.endswith("bias"):
                value[-1] = 20  # "no object"
    assert (segmenter.label(noise(30, 40)[None], VOCABULARY) == -1).all()
    (found,) = segmenter.describe(noise(30, 40)[None], VOCABULARY)
    assert found.text == () and (found.caption == -1).all()


@both
@pytest.mark.parametrize("size", [(3, 40), (40, 3), (1, 9), (9, 1), (3, 3)])
def test_few_rows_are_not_taken_for_channels(load, name, size):
    image, segmenter, seen = noise(*size), load(name), []
    keep = lambda module, arguments, named: seen.append(named["pixel_values"])  # noqa: E731
    with segmenter.network.register_forward_pre_hook(keep, with_kwargs=True):
        assert segmenter.label(image[None], VOCABULARY).shape == (1, *size)
    kind = small_universal.KIND[name]
    processor = getattr(transformers, f"{kind}ImageProcessor")(size=small_universal.SIZE)
    wanted = processor(images=[Image.fromarray(image)], return_tensors="pt")  # which has no doubts
    assert torch.equal(seen[0], wanted["pixel_values"])


@both
def test_a_batch_in_one_pass_as_on_a_gpu(load, name, monkeypatch):
    images, segmenter = np.stack([noise(60, 80, seed) for seed in range(3)]), load(name)
    alone = [segmenter.queries(image[None]) for image in images]
    labels = segmenter.label(images, VOCABULARY)
    for part, together in enumerate(segmenter.queries(images)):
        wanted = torch.cat([one[part] for one in alone])
        assert (wanted - together).abs().max() < 1e-4 * wanted.abs().max()
    monkeypatch.setattr(universal, "passes", lambda images, device: iter([images]))
    assert (segmenter.label(images, VOCABULARY) != labels).mean() < 0.02


@pytest.mark.parametrize(
    ("label", "wanted"),
    [
        ("wall-other-merged", ("wall",)),
        ("door-stuff", ("door",)),
        ("ceiling-merged", ("ceiling",)),
        ("wall-brick", ("wall brick",)),
        ("window-other", ("window",)),
        ("dining table", ("dining table",)),
        ("windowpane, window ", ("windowpane", "window")),
        ("door;double door", ("door", "double door")),
        ("traffic_light", ("traffic light",)),
        ("other", ("other",)),
        (",", (",",)),
    ],
)
def test_names_in_a_label(label, wanted):
    assert names(label) == wanted


def test_a_class_has_the_name_closest_to_any_of_its_own(copy, load):
    folder = copy("mask2former")
    content = json.loads((folder / "config.json").read_text())
    content["id2label"] = {str(number): "zebra, wall" for number in range(5)}
    (folder / "config.json").write_text(json.dumps(content))
    found = load("mask2former", folder).label(noise(40, 40)[None], ("horse", "sky", "lamp", "wall"))
    assert set(np.unique(found)) <= {-1, 3} and 3 in found


def test_oneformer_is_told_the_task_as_its_processor_would(load, task):
    segmenter, seen = load("oneformer"), []
    keep = lambda module, arguments, named: seen.append(named["task_inputs"])  # noqa: E731
    with segmenter.network.register_forward_pre_hook(keep, with_kwargs=True):
        segmenter.label(noise(20, 20)[None], VOCABULARY)
    assert torch.equal(seen[0], task)


@both
@pytest.mark.parametrize("part", ["class_queries_logits", "masks_queries_logits"])
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_nan_is_no_answer(load, name, part, value):
    """Nor one of a single query."""
    segmenter = load(name)

    def damage(module, arguments, output):
        output[part][0, 3, 0] = value
        return output

    with (
        segmenter.network.register_forward_hook(damage),
        pytest.raises(WeightsError, match=rf"^{name}: masks are NaN or infinite: damaged weights.*precision"),
    ):
        segmenter.label(noise(30, 40)[None], VOCABULARY)


@both
@pytest.mark.parametrize("file", FILES)
def test_a_missing_file_is_named(copy, load, name, file):
    folder = copy(name)
    (folder / file).unlink()
    (folder / "pytorch_model.bin").write_bytes(b"never looked at")
    with pytest.raises(
        WeightsError, match=rf"{folder / file}: no such weights; .*huggingface.*take `{name}` out"
    ):
        load(name, folder)


@both
def test_damaged_files_are_refused(copy, load, name):
    folder = copy(name)
    tensors = folder / "model.safetensors"
    whole = tensors.read_bytes()
    for keep in (0, 100, len(whole) - 5):
        tensors.write_bytes(whole[:keep])
        with pytest.raises(WeightsError, match=rf"{folder}: damaged weights"):
            load(name, folder)
    state = {key: value for key, value in load_file(small(name, folder)).items() if "predictor" not in key}
    state = dict(list(state.items())[:-3])
    save_file(state, tensors, {"format": "pt"})
    with pytest.raises(WeightsError, match=r"another architecture: \S+ is missing"):
        load(name, folder)


def small(name, folder):
    return small_universal.write(name, folder.with_name("again")) / "model.safetensors"


@both
@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("config.json", {"model_type": "maskformer"}, "describes a 'maskformer' model"),
        ("config.json", {"id2label": None}, "id2label"),
        ("config.json", {"id2label": {}}, "id2label"),
        ("config.json", {"id2label": ["wall", "floor", "couch", "table", "door"]}, "id2label"),
        ("config.json", {"id2label": dict(zip("01235", "abcde", strict=True))}, "id2label"),
        ("config.json", {"id2label": dict(zip("01234", range(5), strict=True))}, "id2label"),
        ("config.json", {"hidden_dim": 64}, "damaged weights"),
        ("config.json", None, "not readable"),
        ("preprocessor_config.json", None, "not readable"),
        (
            "preprocessor_config.json",
            {"image_std": [0, 0, 0]},
            r"damaged weights \(image_std or image_mean make pixels NaN or infinite\)",
        ),
        *(("preprocessor_config.json", change, "damaged weights") for change in small_universal.UNUSABLE),
    ],
)
def test_wrong_descriptions_are_refused(copy, load, name, file, change, message):
    folder = copy(name)
    if change is None:
        (folder / file).write_text("{")
    else:
        content = json.loads((folder / file).read_text()) | change
        (folder / file).write_text(
            json.dumps({key: value for key, value in content.items() if value is not None})
        )
    with pytest.raises(WeightsError, match=rf"{folder}.*{message}"):
        load(name, folder)
