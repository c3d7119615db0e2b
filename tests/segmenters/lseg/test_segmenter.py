import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from anyscene.errors import ConfigError, TextError, WeightsError
from anyscene.project import parameters
from anyscene.segmenters import Segmenter, load_segmenter
from anyscene.segmenters.lseg import Settings
from anyscene.segmenters.lseg import segmenter as lseg
from anyscene.testing import SegmenterTests
from anyscene.text import embeddings
from tests.builders import small_lseg

pytestmark = pytest.mark.integration

VOCABULARY = ("wall", "floor", "chair", "table", "orange tree")
CPU = torch.device("cpu")


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """As LSeg's: parameters under `net.`, with (a bit of) CLIP beside them."""
    state = {f"net.{name}": value for name, value in small_lseg.state().items()}
    state["net.clip_pretrained.text_projection"] = torch.zeros(512, 512)
    file = tmp_path_factory.mktemp("lseg") / "demo_e200.ckpt"
    torch.save({"epoch": 200, "state_dict": state}, file)
    return file


@pytest.fixture(scope="session")
def load(checkpoint):
    def load(base=small_lseg.BASE, crop=small_lseg.CROP, file=checkpoint, text=None):
        text = text or small_lseg.Text()
        return lseg.LsegSegmenter.load("lseg", file, text, Settings(base, crop), CPU, small_lseg.ARCHITECTURE)

    return load


class TestProtocol(SegmenterTests):
    labels_everywhere = True
    unit_features = False  # the mean of an image and its mirror is not normalised again

    @pytest.fixture(scope="class")
    def segmenter(self, load):
        return load()


@pytest.mark.parametrize(
    ("kind", "sizes", "base", "crop"),
    [
        ("whole", small_lseg.SIZES, small_lseg.BASE, small_lseg.CROP),
        ("windows", small_lseg.WIDE, small_lseg.WIDE_BASE, small_lseg.WINDOW),
    ],
)
def test_features_equal_those_of_the_official_code(load, kind, sizes, base, crop):
    """lseg_official.npz holds what the official network and evaluator say of the same images, at some pixels
    and in every 16th channel."""
    official = np.load(Path(__file__).with_name("lseg_official.npz"))
    for number, image in enumerate(small_lseg.images(sizes)):
        found = load(base, crop).describe(image[None])[0].feature.numpy()
        assert found.shape == (*image.shape[:2], 512)
        row, column, wanted = (official[f"{kind}{number}_{part}"] for part in ("row", "column", "feature"))
        assert np.abs(found[row, column, ::16] - wanted).max() < 1e-5


@pytest.mark.parametrize("size", [(24, 32), (40, 20), (31, 33), (7, 50)])
@pytest.mark.parametrize(("base", "crop"), [(64, 64), (50, 64), (100, 64), (129, 32)])
def test_features_equal_a_slow_reading_of_the_protocol(load, size, base, crop):
    image = small_lseg.images((size,))[0]
    segmenter = load(base, crop)
    wanted = slow_features(segmenter.network, image, base, crop)
    found = segmenter.describe(image[None])[0].feature.permute(2, 0, 1).numpy()
    assert found.shape == wanted.shape and np.abs(found - wanted).max() < 1e-5


def slow_features(network, image, base, crop):
    """f4[C, h, w] of u1[H, W, 3]; resizing is a product with two matrices, every window is added
    by hand."""
    longer = max(image.shape[:2])
    height, width = (int(np.floor(length * base / longer + 0.5)) for length in image.shape[:2])
    x = resize((image.transpose(2, 0, 1) / 255 - 0.5) / 0.5, height, width)
    canvas = np.full((3, max(height, crop), max(width, crop)), -1.0)  # black
    canvas[:, :height, :width] = x
    if base <= crop:
        return mirrored(network, canvas)[:, : (height + 1) // 2, : (width + 1) // 2]
    total, count = np.zeros((512, *canvas.shape[1:])), np.zeros(canvas.shape[1:])
    for top in offsets(canvas.shape[1], crop):
        for left in offsets(canvas.shape[2], crop):
            window = np.full((3, crop, crop), -1.0)
            part = canvas[:, top : top + crop, left : left + crop]
            window[:, : part.shape[1], : part.shape[2]] = part
            found = resize(mirrored(network, window), crop, crop)
            total[:, top : top + crop, left : left + crop] += found[:, : part.shape[1], : part.shape[2]]
            count[top : top + crop, left : left + crop] += 1
    return resize((total / count)[:, :height, :width], *image.shape[:2])


def offsets(length, crop):
    """Windows begin two thirds of a window apart, until one reaches the end."""
    found = [0]
    while found[-1] + crop < length:
        found.append(found[-1] + 2 * crop // 3)
    return found


def mirrored(network, image):
    both = [network(torch.from_numpy(x.copy()).float()[None])[0].numpy() for x in (image, image[..., ::-1])]
    one, other = (x / np.linalg.norm(x, axis=0) for x in both)
    return (one + other[..., ::-1]) / 2


def resize(x, height, width):
    """Bilinear with corners on corners, of [C, h, w]."""
    return np.einsum("vy,cyx,ux->cvu", blend(x.shape[1], height), x, blend(x.shape[2], width), optimize=True)


def blend(old, new):
    matrix = np.zeros((new, old))
    for place in range(new):
        source = place * (old - 1) / (new - 1) if new > 1 else 0
        low = min(int(source), old - 1)
        matrix[place, low] += 1 - (source - low)
        matrix[place, min(low + 1, old - 1)] += source - low
    return matrix


@pytest.mark.parametrize(
    "size", [(24, 32), (45, 16), (1, 1), (7, 90), (64, 64), (60, 80), (45, 160), (160, 30)]
)
def test_labels_are_the_best_names_at_the_nearest_cells(load, size):
    segmenter, image = load(), small_lseg.images((size,))[0]
    feature = segmenter.describe(image[None])[0].feature.numpy()
    labels = segmenter.label(image[None], VOCABULARY)
    best = (feature @ embeddings(small_lseg.Text(), VOCABULARY).T).argmax(2)
    assert labels.dtype == np.int16 and labels.shape == (1, *size)
    for v in range(size[0]):
        for u in range(size[1]):
            row, column = (v + 0.5) * best.shape[0] / size[0], (u + 0.5) * best.shape[1] / size[1]
            assert labels[0, v, u] == best[int(row), int(column)]


@pytest.mark.parametrize("method", ["describe", "label"])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize(("base", "crop"), [(64, 64), (129, 32)])  # whole, and in windows
def test_nan_is_no_answer(load, method, value, base, crop):
    segmenter = load(base, crop)
    segmenter.network.scratch.head1.weight[0] = value
    with pytest.raises(WeightsError, match=r"^lseg: features are NaN or infinite: damaged weights"):
        getattr(segmenter, method)(small_lseg.images(((24, 32),))[0][None], VOCABULARY)


def test_is_a_segmenter_that_no_batch_changes(load):
    segmenter, images = load(), np.stack(small_lseg.images(((24, 32),) * 3))
    assert isinstance(segmenter, Segmenter)
    together = segmenter.describe(images, VOCABULARY)
    for image, found in zip(images, together, strict=True):
        assert torch.equal(found.feature, segmenter.describe(image[None])[0].feature)
    alone = [segmenter.label(image[None], VOCABULARY) for image in images]
    assert np.array_equal(segmenter.label(images, VOCABULARY), np.concatenate(alone))
    assert (
        segmenter.label(images[:0], VOCABULARY).shape == (0, 24, 32) and segmenter.describe(images[:0]) == []
    )


@pytest.mark.parametrize(
    ("base", "crop"), [(small_lseg.BASE, small_lseg.CROP), (small_lseg.WIDE_BASE, small_lseg.WINDOW)]
)
def test_a_batch_in_one_pass_as_on_a_gpu(load, monkeypatch, base, crop):
    segmenter, images = load(base, crop), np.stack(small_lseg.images(((24, 32),) * 3))
    alone, labels = segmenter.describe(images), segmenter.label(images, VOCABULARY)
    monkeypatch.setattr(lseg, "passes", lambda images, device: iter([images]))
    for one, together in zip(alone, segmenter.describe(images), strict=True):
        assert torch.allclose(one.feature, together.feature, atol=1e-5)
    assert (segmenter.label(images, VOCABULARY) != labels).mean() < 0.01


def test_safetensors_without_prefix_are_the_same_model(load, tmp_path):
    save_file(small_lseg.state(), tmp_path / "demo_e200.safetensors")
    image = small_lseg.images(((24, 32),))
    again = load(file=tmp_path / "demo_e200.safetensors").describe(np.stack(image))[0].feature
    assert torch.equal(again, load().describe(np.stack(image))[0].feature)


def test_half_precision_weights_are_computed_with_in_single(load, tmp_path):
    halves = {name: v.half() if v.is_floating_point() else v for name, v in small_lseg.state().items()}
    save_file(halves, tmp_path / "demo_e200.safetensors")
    segmenter = load(file=tmp_path / "demo_e200.safetensors")
    assert segmenter.describe(np.stack(small_lseg.images(((24, 32),))))[0].feature.dtype == torch.float32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda state: state.pop("net.scratch.head1.weight"),
            r"scratch\.head1\.weight is nothing, wanted \[512, 8, 1, 1\]",
        ),
        (
            lambda state: state.update({"net.scratch.head1.bias": torch.ones(512, dtype=torch.int64)}),
            r"head1\.bias is \[512\] of integers, wanted \[512\]",
        ),
        (
            lambda state: state.update({"net.scratch.extra": torch.zeros(1)}),
            r"extra is \[1\], wanted nothing",
        ),
        (
            lambda state: state.update({"net.scratch.head1.bias": torch.zeros(768)}),
            r"head1\.bias is \[768\], wanted \[512\]",
        ),
    ],
)
def test_weights_of_another_network_are_refused_by_name(load, checkpoint, tmp_path, change, message):
    state = torch.load(checkpoint, weights_only=True)
    change(state["state_dict"])
    torch.save(state, tmp_path / "demo_e200.ckpt")
    with pytest.raises(
        WeightsError, match=f"demo_e200.ckpt: .*{message}; take demo_e200.ckpt from .*isl-org"
    ):
        load(file=tmp_path / "demo_e200.ckpt")


def test_weights_that_are_no_numbers_are_refused_when_they_are_loaded(load, checkpoint, tmp_path):
    state = torch.load(checkpoint, weights_only=True)
    state["state_dict"]["net.scratch.head1.weight"][0] = torch.nan
    torch.save(state, tmp_path / "demo_e200.ckpt")
    with pytest.raises(
        WeightsError, match=r"demo_e200\.ckpt: damaged, scratch\.head1\.weight has values that"
    ):
        load(file=tmp_path / "demo_e200.ckpt")


@pytest.mark.parametrize(
    ("name", "width"),
    [("minilm", 384), ("open_clip:ViT-L-14-336:openai", 768), ("open_clip:ViT-B-16:openai", 512)],
)
def test_other_text_spaces_are_refused(load, name, width):
    text = small_lseg.Text()
    text.name, text.width = name, width
    with pytest.raises(TextError, match=re.escape(f"of {name}: set `text.encoder: open_clip:ViT-B-32")):
        load(text=text)


def settings_of(folder, encoder):
    values = parameters.load()
    return dataclasses.replace(
        values,
        text=dataclasses.replace(values.text, encoder=encoder),
        segmenters=dataclasses.replace(values.segmenters, weights=str(folder)),
    )


def test_missing_weights_are_said_before_anything_is_loaded(tmp_path, monkeypatch):
    monkeypatch.setattr("anyscene.text.load_text_encoder", lambda section: pytest.fail("loaded"))
    wanted = rf"{re.escape(str(tmp_path / 'lseg'))}/demo_e200\.ckpt.*isl-org/lang-seg.*segmenters\.names"
    with pytest.raises(WeightsError, match=wanted):
        load_segmenter("lseg", settings_of(tmp_path, "open_clip:ViT-B-32:openai"))


def test_found_by_its_name_in_the_parameters(checkpoint, tmp_path):
    (tmp_path / "lseg").mkdir()
    (tmp_path / "lseg/demo_e200.ckpt").symlink_to(checkpoint)
    with pytest.raises(TextError, match="minilm"):  # the checkpoint was found, the demo's text space refused
        load_segmenter("lseg", settings_of(tmp_path, "minilm"))


@pytest.mark.parametrize(
    ("base", "crop", "said"),
    [
        (640, 650, "crop: must be a multiple of 32, not 650"),
        (640, 0, "crop: must be 32 to 16384, not 0"),
        (0, 640, "base: must be 1 to 16384, not 0"),
        (640, -32, "crop: must be 32 to 16384, not -32"),
    ],
)
def test_protocols_that_cannot_be(base, crop, said):
    with pytest.raises(ConfigError, match=rf"segmenters\.lseg\.{said}"):
        Settings(base, crop)
