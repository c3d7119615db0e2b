import copy
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from anyscene.errors import ConfigError, WeightsError
from anyscene.project import parameters
from anyscene.segmenters import load_segmenter
from anyscene.segmenters.class_names import SEEM, names
from anyscene.segmenters.seem import Settings, find
from anyscene.segmenters.seem import segmenter as seem
from anyscene.segmenters.seem.network import PUBLISHED, STEM, UNUSED, Seem, load
from anyscene.testing import SegmenterTests
from anyscene.text import TEMPLATE, embeddings
from tests.builders import small_lseg, small_seem

pytestmark = pytest.mark.integration

CPU = torch.device("cpu")
KINDS = tuple(small_seem.ARCHITECTURES)
VOCABULARY = ("wall", "floor", "chair", "table", "orange tree")
HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory):
    """A small checkpoint of each kind, in a folder of its own, with a bit of what serves training."""
    files = {}
    for kind in KINDS:
        files[kind] = tmp_path_factory.mktemp(kind) / f"seem_{kind}_v0.pt"
        state = small_seem.state(kind) | {
            "criterion.empty_weight": torch.ones(134),
            "sem_seg_head.predictor.pn_indicator.weight": torch.ones(2, 64),
        }
        torch.save(state, files[kind])
    return files


@pytest.fixture(scope="session")
def model(checkpoints):
    """A segmenter that takes the nouns of pixels."""
    return seem.SeemSegmenter.load(
        "seem",
        checkpoints["focall"],
        small_lseg.Text(),
        Settings(small_seem.SIDE, "semantic"),
        CPU,
        tuple(small_seem.ARCHITECTURES.values()),
        confidence=small_seem.CONFIDENCE,
        overlap=small_seem.OVERLAP,
    )


def with_settings(model, *settings):
    """The same model with other settings; the names are not encoded again."""
    other = copy.copy(model)
    other.settings = Settings(*settings)
    return other


class TestNounsOfMasks(SegmenterTests):
    own_labels = True

    @pytest.fixture(scope="class")
    def segmenter(self, model):
        return with_settings(model, 32, "panoptic")


class TestNounsOfPixels(SegmenterTests):
    own_labels = True

    @pytest.fixture(scope="class")
    def segmenter(self, model):
        return with_settings(model, 32, "semantic")


@pytest.mark.parametrize(("kind", "architecture"), zip(KINDS, PUBLISHED, strict=True))
def test_names_and_shapes_are_those_of_the_official_model(kind, architecture):
    """Of v0 and v1, which are the same. The published files hold the official model's state."""
    lines = [line.split() for line in (HERE / f"seem_{kind}.txt").read_text(encoding="utf-8").splitlines()]
    official = {name: () if shape == "scalar" else tuple(map(int, shape.split("x"))) for name, shape in lines}
    with torch.device("meta"):
        own = {name: tuple(value.shape) for name, value in Seem(architecture).state_dict().items()}
    left = official.keys() - own.keys()
    assert own == {name: shape for name, shape in official.items() if name not in left}
    assert len(left) == 8 and all(name.startswith(UNUSED) for name in left)


@pytest.fixture(scope="session")
def official():
    return np.load(HERE / "seem_official.npz")


@pytest.fixture(scope="session")
def networks():
    return {
        kind: load(small_seem.state(kind), Path("x"), "y", (own,))
        for kind, own in small_seem.ARCHITECTURES.items()
    }


def close(found, wanted):
    """Whether `found` equals `wanted` to 1e-4 of its largest value. Both are the same to 3e-6."""
    return np.abs(found - wanted).max() < 1e-4 * np.abs(wanted).max()


@pytest.mark.parametrize("kind", KINDS)
def test_masks_and_texts_equal_those_of_the_official_code(networks, official, kind):
    """seem_official.npz holds what the official code says of six images (record_official.py)."""
    network = networks[kind]
    with torch.inference_mode():
        names = network.text.names(SEEM[::7])
        assert close(names.numpy(), official[f"{kind}_names"])
        for number, image in enumerate(small_seem.images()):
            x = torch.from_numpy(seem.enlarged(image[None], small_seem.SIDE))
            feature, masks = network(x)
            assert masks.shape[2:] == official[f"{kind}{number}_semantic"].shape
            assert close(network.text.compare(feature, names)[0].numpy(), official[f"{kind}{number}_logits"])
            coarse = network.masks(x)[1][0, :, ::5, ::5]  # before they are enlarged to the image
            assert close(coarse.numpy(), official[f"{kind}{number}_masks"])


def test_answers_equal_those_of_the_official_code(model, official):
    """Segments, and the semantic map, at the size that the network sees; then as SAS combines them."""
    several = 0
    own = embeddings(small_lseg.Text(), [names(label)[0] for label in SEEM])
    name = (own @ embeddings(small_lseg.Text(), VOCABULARY).T).argmax(1)
    for number, image in enumerate(small_seem.images()):
        segment, semantic = (official[f"focall{number}_{part}"] for part in ("panoptic", "semantic"))
        enlarged = seem.enlarged(image[None], small_seem.SIDE).transpose(0, 2, 3, 1).astype(np.uint8)
        label = model.label(enlarged, VOCABULARY)[0]
        assert np.array_equal(label, name[semantic] if segment.any() else np.full_like(label, -1))
        several += len(official[f"focall{number}_classes"]) > 1
    assert several >= 2


def test_the_captioner_sees_whole_masks(model, official, monkeypatch):
    """With nouns of pixels, parts of a mask share its adjectives, and what is in no mask has none."""
    seen = []

    class Captioner:
        template = TEMPLATE

        def modifiers(self, image, masks):
            seen.extend(masks)
            return ["red"] * len(masks)

    monkeypatch.setattr(model, "captioner", Captioner())
    image = np.array([*small_seem.images()][3])
    enlarged = seem.enlarged(image[None], small_seem.SIDE).transpose(0, 2, 3, 1).astype(np.uint8)
    (found,) = model.describe(enlarged, VOCABULARY)
    segment = official["focall3_panoptic"]
    assert len(seen) == segment.max() == 2
    for mask, number in zip(seen, (1, 2), strict=True):
        assert np.array_equal(mask, segment == number)
    bare = np.array([not text.startswith("a red ") for text in found.text])
    assert np.array_equal(bare[found.caption], segment == 0)
    assert (segment == 0).any() and (segment > 0).any()


def test_the_shorter_side_is_that_of_the_settings(model):
    image = np.zeros((1, 30, 40, 3), np.uint8)
    for side, size in ((32, (32, 42)), (64, (64, 85))):
        assert with_settings(model, side, "semantic").queries(image)[1].shape[2:] == size


def test_nouns_are_those_of_pixels_or_of_masks(model, official):
    """A pixel in no mask has a noun of its own, or none."""
    image = [*small_seem.images()][3]
    enlarged = seem.enlarged(image[None], small_seem.SIDE).transpose(0, 2, 3, 1).astype(np.uint8)
    labels = with_settings(model, small_seem.SIDE, "semantic").label(enlarged, VOCABULARY)[0]
    assert (labels >= 0).all()
    labels = with_settings(model, small_seem.SIDE, "panoptic").label(enlarged, VOCABULARY)[0]
    assert np.array_equal(labels >= 0, official["focall3_panoptic"] > 0)


def test_masks_of_one_uncountable_class_are_one():
    chair, wall, floor = SEEM.index("chair"), SEEM.index("wall-other-merged"), SEEM.index("floor-wood")
    owner = np.array([[0, 1, 2, -1], [3, 4, 5, 5]], np.int32)
    label = np.array([wall, chair, wall, chair, floor, wall, floor])  # nobody sees the last
    found, kept = seem.merged(owner, label)
    assert found.tolist() == [[0, 1, 0, -1], [2, 3, 0, 0]]
    assert kept.tolist() == [wall, chair, chair, floor]
    found, kept = seem.merged(np.full((2, 2), -1, np.int32), label)
    assert (found == -1).all() and len(kept) == 0


@pytest.mark.parametrize(
    ("size", "wanted"),
    [((240, 320), (512, 682)), ((320, 240), (682, 512)), ((512, 640), (512, 640)), ((7, 7), (512, 512))],
)
def test_the_shorter_side_is_512(size, wanted):
    assert seem.resized(*size, 512) == wanted


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda state: state.pop("sem_seg_head.predictor.class_embed"), "missing: .*class_embed"),
        (lambda state: state.update(extra=torch.ones(1)), "left over: extra"),
        (lambda state: state.update({"backbone.norm0.bias": torch.ones(3)}), "another shape: backbone.norm0"),
        (
            lambda state: state.update({"backbone.norm0.bias": torch.ones(16).int()}),
            "norm0.bias holds integers",
        ),
        (lambda state: state.pop(STEM), f"{STEM} is missing"),
        (lambda state: state.update({STEM: torch.ones(96, 3, 4, 4)}), r"has the shape \[96, 3, 4, 4\]"),
    ],
)
def test_weights_of_another_architecture_are_refused(change, said):
    state = small_seem.state("focall")
    change(state)
    with pytest.raises(WeightsError, match=f"seem.pt.*{said}"):
        load(state, Path("seem.pt"), "there", tuple(small_seem.ARCHITECTURES.values()))


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_weights_that_are_no_numbers_are_refused_when_they_are_loaded(value):
    state = small_seem.state("focall")
    state["backbone.norm0.bias"][3] = value
    with pytest.raises(
        WeightsError, match=r"seem\.pt: damaged, backbone\.norm0\.bias has values that are no nu"
    ):
        load(state, Path("seem.pt"), "there", tuple(small_seem.ARCHITECTURES.values()))


def test_half_precision_is_taken_as_single():
    state = {name: value.half() for name, value in small_seem.state("focall").items()}
    network = load(state, Path("x"), "y", tuple(small_seem.ARCHITECTURES.values()))
    assert {value.dtype for value in network.state_dict().values()} == {torch.float32}


def test_one_checkpoint_is_found(tmp_path):
    with pytest.raises(
        WeightsError, match=r"seem_focall_v0\.pt: no SEEM weights.*anyscene weights fetch seem"
    ):
        find(tmp_path)
    file = tmp_path / "seem_focalt_v1.pt"
    torch.save({}, file)
    assert find(tmp_path) == file
    save_file({"a": torch.ones(1)}, tmp_path / "seem_focall_v0.safetensors")
    with pytest.raises(WeightsError, match=r"holds .*v0\.safetensors, .*_v1\.pt; keep the one"):
        find(tmp_path)


def test_a_side_out_of_bounds_is_refused():
    with pytest.raises(ConfigError, match=r"segmenters\.seem\.side: must be 32 to 16384, not 31"):
        Settings(31, "panoptic")


def test_the_model_is_loaded_by_its_name(checkpoints, monkeypatch):
    """From the folder of its name, with the section of params.yaml. A file of a small model is refused."""
    values = parameters.load()
    section = dataclasses.replace(values.segmenters, weights=str(checkpoints["focall"].parent.parent))
    monkeypatch.setattr("anyscene.text.load_text_encoder", lambda section: small_lseg.Text())
    folder = checkpoints["focall"].parent.parent / "seem"
    folder.symlink_to(checkpoints["focall"].parent)
    with pytest.raises(WeightsError, match=rf"seem_focall_v0\.pt: weights of another.*{STEM} has the shape"):
        load_segmenter("seem", dataclasses.replace(values, segmenters=section))
