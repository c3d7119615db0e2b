import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file
from segment_anything import SamPredictor

from anyscene.errors import DataError, WeightsError
from anyscene.segmenters.grounded import FILES
from anyscene.segmenters.grounded import segmenter as grounded
from anyscene.segmenters.grounded.segmenter import GroundedSegmenter, prompts
from tests.builders import small_grounded, small_universal

pytestmark = pytest.mark.integration

CPU = torch.device("cpu")
VOCABULARY = ("sofa", "shower curtain", "Wall", "refrigerator", "bathtub")
FULL_STOP = 1012  # in BERT's vocabulary


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def load(grounded_weights):
    def load(folder=grounded_weights, **options):
        with small_grounded.small_sam():
            return GroundedSegmenter.load("grounded", folder, CPU, **options)

    return load


@pytest.fixture(scope="module")
def segmenter(load):
    return load()


@pytest.fixture
def copy(grounded_weights, tmp_path):
    """A copy of the models' folder, to be damaged."""
    return Path(shutil.copytree(grounded_weights, tmp_path / "grounded"))


@pytest.fixture(scope="module")
def reference(grounded_weights):
    """Boxes, scores and the likeliest name of each, by transformers' own processor, which also looks at the
    full stops: their probability is taken out before."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(grounded_weights)
    images = transformers.GroundingDinoImageProcessor.from_pretrained(grounded_weights)
    processor = transformers.GroundingDinoProcessor(images, tokenizer)
    model = transformers.GroundingDinoForObjectDetection.from_pretrained(grounded_weights).eval()

    def detect(image, names, confidence):
        inputs = processor(images=Image.fromarray(image), text=[list(names)], return_tensors="pt")
        with torch.inference_mode():
            output = model(**inputs)
        ids, logits = inputs["input_ids"][0].tolist(), output.logits.clone()
        parts = [[]]
        for place, token in enumerate(ids):
            if token in (101, 102, FULL_STOP):
                logits[0, :, place] = -torch.inf
                parts.append([])
            else:
                parts[-1].append(place)
        parts = [part for part in parts if part]
        output.logits = logits
        (found,) = processor.post_process_grounded_object_detection(
            output, threshold=confidence, target_sizes=[image.shape[:2]]
        )
        probability = logits[0].sigmoid()
        probability = probability[probability.amax(1) > confidence]
        mean = torch.stack([probability[:, part].mean(1) for part in parts], 1)
        return found["boxes"], found["scores"], mean.argmax(1)

    return detect


@pytest.mark.parametrize("size", [(60, 80), (80, 60), (48, 48), (30, 100)])
def test_boxes_equal_those_of_transformers(load, reference, size):
    image, seen = noise(*size), set()
    for confidence in (0.2, 0.5):
        box, score, name = reference(image, VOCABULARY, confidence)
        found = load(confidence=confidence).boxes(image, VOCABULARY)
        assert torch.allclose(found.box, box, atol=1e-3) and torch.allclose(found.score, score, atol=1e-5)
        assert torch.equal(found.name, name)
        seen |= set(name.tolist()) | {-len(name)}
    assert len(seen) >= 3  # of boxes and of names there are several


def test_masks_equal_those_of_sam_box_by_box(segmenter, grounded_weights, monkeypatch):
    monkeypatch.setattr(grounded, "BOXES", 5)
    image = noise(60, 80)
    found = segmenter.boxes(image, VOCABULARY)
    assert len(found.box) > 5
    sam = small_grounded.build()
    sam.load_state_dict(torch.load(grounded_weights / small_grounded.CHECKPOINT))
    predictor = SamPredictor(sam.eval())
    predictor.set_image(image)
    wanted = np.full((60, 80), -1)
    best = np.zeros((60, 80))
    for box, name, score in zip(found.box, found.name, found.score, strict=True):
        masks, _, _ = predictor.predict(box=box.numpy(), multimask_output=False)
        better = masks[0] & (float(score) > best)
        wanted[better], best[better] = int(name), float(score)
    label = segmenter.label(image[None], VOCABULARY)[0]
    assert (label != wanted).mean() < 0.002  # a pixel may lie on a mask's very edge
    assert len(np.unique(wanted)) >= 2


def test_long_vocabularies_are_asked_in_several_texts(grounded_weights):
    tokenizer = transformers.AutoTokenizer.from_pretrained(grounded_weights)
    vocabulary = [*VOCABULARY, "TV (60 in.)", "what is it?", "chair", "table"]
    for most in (12, 20, 256):
        asked = prompts(vocabulary, tokenizer, most, CPU)
        assert len(asked) > 1 or most == 256
        assert [int(index) for one in asked for index in one.name] == list(range(len(vocabulary)))
        for one in asked:
            assert one.token.shape == one.kind.shape == one.mask.shape and one.token.shape[1] <= most
            assert torch.allclose(one.share.sum(1), torch.ones(len(one.name)))
            for index, share in zip(one.name, one.share, strict=True):
                token = one.token[0, share > 0]
                plain = vocabulary[index].lower().replace(".", "").replace("?", "").replace(" ", "")
                assert tokenizer.decode(token).replace(" ", "") == plain
                assert FULL_STOP not in token and torch.allclose(
                    share[share > 0], torch.tensor(1 / len(token))
                )


def test_a_name_that_no_text_holds_is_said(grounded_weights):
    tokenizer = transformers.AutoTokenizer.from_pretrained(grounded_weights)
    assert len(prompts(["what a long name"], tokenizer, 7, CPU)) == 1
    with pytest.raises(DataError, match=r"texts of 6 tokens.* 'what a long name' takes 7: give"):
        prompts(["sofa", "what a long name"], tokenizer, 6, CPU)


def test_names_are_numbered_across_texts(load):
    segmenter, image = load(confidence=0), noise(60, 80)
    config = segmenter.detector.network.config
    config.max_text_len, before = 12, config.max_text_len
    try:
        # the network pads to what it was built with
        asked = segmenter.asked(VOCABULARY)
        assert len(asked) > 1
    finally:
        config.max_text_len = before
    found = segmenter.boxes(image, VOCABULARY)
    assert len(found.box) == 12 * len(asked)
    last = asked[-1].name.tolist()
    assert set(found.name[-12:].tolist()) <= set(last) and set(found.name[:12].tolist()).isdisjoint(last)


@pytest.mark.parametrize("size", [(4, 300), (300, 4), (3, 40), (1, 1)])
def test_stripes_are_stretched_for_the_boxes_alone(segmenter, size):
    image, seen = noise(*size), []
    keep = lambda module, arguments, named: seen.append(named["pixel_values"])  # noqa: E731
    with segmenter.detector.network.register_forward_pre_hook(keep, with_kwargs=True):
        found = segmenter.boxes(image, VOCABULARY)
    height, width = seen[0].shape[2:]
    assert max(height, width) <= grounded.LONGEST * min(height, width) and seen[0].shape[1] == 3
    assert segmenter.label(image[None], VOCABULARY).shape == (1, *size)
    centre = (found.box[:, :2] + found.box[:, 2:]) / 2
    assert (centre >= 0).all() and (centre <= torch.tensor([size[1], size[0]])).all()


def test_one_pixel_masks(segmenter, monkeypatch):
    image = noise(30, 40)
    found = segmenter.boxes(image, VOCABULARY)

    def predict(points, labels, boxes, multimask_output):
        masks = torch.zeros(len(boxes), 1, 30, 40, dtype=torch.bool)
        masks[torch.arange(len(boxes)), 0, torch.arange(len(boxes)), 5] = True
        return masks, None, masks.float()

    monkeypatch.setattr(segmenter.predictor, "predict_torch", predict)
    label = segmenter.label(image[None], VOCABULARY)[0]
    assert (label >= 0).sum() == len(found.box) and label[: len(found.box), 5].tolist() == found.name.tolist()
    assert (segmenter.describe(image[None], VOCABULARY)[0].caption >= 0).sum() == len(found.box)


@pytest.mark.parametrize("damaged", ["detector", "predictor"])
def test_nan_is_no_answer(load, damaged):
    segmenter = load()
    network = segmenter.detector.network if damaged == "detector" else segmenter.predictor.model.mask_decoder
    for value in network.parameters():
        value.fill_(torch.nan)
    with pytest.raises(WeightsError, match=r"^grounded.*NaN or infinite: damaged weights.*precision"):
        segmenter.label(noise(30, 40)[None], VOCABULARY)


@pytest.mark.parametrize("file", FILES)
def test_a_missing_file_is_named(load, copy, file):
    (copy / file).unlink()
    with pytest.raises(WeightsError, match=rf"{copy / file}: no such weights; .*IDEA.*take `grounded` out"):
        load(copy)


def test_one_checkpoint_of_sam_is_wanted(load, copy):
    (copy / small_grounded.CHECKPOINT).rename(copy / "sam_vit_x.pth")
    with pytest.raises(WeightsError, match=r"sam_vit_x\.pth: the name of a SAM checkpoint holds"):
        load(copy)
    (copy / "sam_vit_b.pth").touch()
    with pytest.raises(WeightsError, match=r"sam_vit_\*\.pth: more than one checkpoint"):
        load(copy)
    for file in copy.glob("sam_*"):
        file.unlink()
    with pytest.raises(WeightsError, match=r"sam_vit_\*\.pth: no checkpoint of SAM; .*segment-anything"):
        load(copy)


@pytest.mark.parametrize(
    ("file", "change"),
    [
        *(("preprocessor_config.json", change) for change in small_universal.UNUSABLE),
        ("tokenizer.json", {"added_tokens": []}),
        ("config.json", {"max_text_len": 2}),
        ("config.json", {"max_text_len": -3}),
    ],
)
def test_settings_that_only_a_scene_would_trip_over_are_refused(load, copy, file, change):
    content = json.loads((copy / file).read_text()) | change
    if file == "tokenizer.json":
        del content["model"]["vocab"]["[UNK]"]
    (copy / file).write_text(json.dumps(content))
    with pytest.raises(WeightsError, match=rf"{copy}: damaged weights"):
        load(copy)


def test_damaged_files_are_refused(load, copy):
    tensors, sam = copy / "model.safetensors", copy / small_grounded.CHECKPOINT
    for file in (tensors, sam):
        whole = file.read_bytes()
        for keep in (0, 100, len(whole) - 5):
            file.write_bytes(whole[:keep])
            with pytest.raises(WeightsError, match=rf"{copy}.*(damaged weights|more than tensors)"):
                load(copy)
        file.write_bytes(whole)
    state = load_file(tensors)
    missing = next(key for key in state if key.startswith("model.decoder"))
    save_file({key: state[key] for key in state if key != missing}, tensors, {"format": "pt"})
    with pytest.raises(WeightsError, match=rf"another architecture: {missing} is missing"):
        load(copy)
    save_file(state, tensors, {"format": "pt"})
    torch.save({"image_encoder.pos_embed": torch.zeros(1)}, sam)
    with pytest.raises(WeightsError, match=rf"{sam}: weights of another architecture: "):
        load(copy)
    (copy / "config.json").write_text('{"model_type": "detr"}')
    with pytest.raises(WeightsError, match=r"config\.json: describes a 'detr' model, wanted grounding-dino"):
        load(copy)
