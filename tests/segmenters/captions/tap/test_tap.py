import copy
import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from anyscene.errors import WeightsError
from anyscene.project import parameters
from anyscene.segmenters.captions import load_captioner, tap
from anyscene.segmenters.captions.tap import captioner as tap_captioner
from anyscene.segmenters.captions.tap import network, prompts
from anyscene.segmenters.captions.tap.captioner import TapCaptioner, fitted
from anyscene.segmenters.captions.tap.network import PUBLISHED, STEM, UNUSED_ENDINGS, Tap
from anyscene.weights import catalogue, reading
from tests.builders import small_tap

pytestmark = pytest.mark.integration

CPU = torch.device("cpu")
HERE = Path(__file__).parent
KINDS = ("tap_vit_h", "tap_vit_l", "tap_vit_b")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_tap.write(tmp_path_factory.mktemp("weights") / "tap")


@pytest.fixture(scope="module")
def captioner(folder):
    return loaded(folder)


def loaded(folder):
    """From a folder whose tokenizer is not the published one, which is otherwise refused."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalogue, "published", lambda path: None)
        return TapCaptioner.load(folder, CPU, architectures=(small_tap.SIZES,))


@pytest.fixture(scope="module")
def official():
    return np.load(HERE / "tap_official.npz")


@pytest.mark.parametrize(("kind", "sizes"), zip(KINDS, PUBLISHED, strict=True))
def test_names_and_shapes_are_those_of_the_official_model(kind, sizes):
    """The published files hold the official model's state, which it loads strictly."""
    lines = [line.split() for line in (HERE / f"{kind}.txt").read_text(encoding="utf-8").splitlines()]
    official = {name: () if shape == "scalar" else tuple(map(int, shape.split("x"))) for name, shape in lines}
    with torch.device("meta"):
        own = {name: tuple(value.shape) for name, value in Tap(sizes).state_dict().items()}
    left = official.keys() - own.keys()
    assert own == {name: shape for name, shape in official.items() if name not in left}
    assert len(left) == sizes.depth + 2 and all(name.endswith(UNUSED_ENDINGS) for name in left)


def close(found, wanted):
    """Whether `found` equals `wanted` to 1e-4 of its largest value. Both are the same to 8e-7."""
    return np.abs(found.numpy() - wanted).max() < 1e-4 * np.abs(wanted).max()


def test_each_part_equals_the_official_one(captioner, official):
    """tap_official.npz holds what TAP's code, asked by SAS's script, says of six images
    (record_official.py)."""
    own, cells = captioner.network, 37
    for number, (image, masks) in enumerate(small_tap.images()):
        square, scale = fitted(image, small_tap.SIZES.image)
        places, kinds = (np.stack(one) for one in zip(*map(prompts.prompt, masks), strict=True))
        assert np.array_equal(places[:, 0], official[f"{number}_points"])
        with torch.inference_mode():
            (seen,) = own.encode(torch.from_numpy(square)[None])
            regions = own.regions(seen, torch.from_numpy(places * np.float32(scale)), torch.from_numpy(kinds))
            drawn = own.image_decoder.masks(regions, own.cells)
            assert drawn.shape[2:] == (256, 256)
            assert close(seen[::cells], official[f"{number}_image"])
            assert close(regions.iou, official[f"{number}_iou"])
            assert close(regions.meaning, official[f"{number}_meaning"])
            assert close(own.image_decoder.concepts(regions), official[f"{number}_concepts"])
            assert close(drawn.flatten(2)[..., :: cells**2], official[f"{number}_masks"])


def test_captions_equal_those_of_the_official_code(captioner, official):
    seen = set()
    for number, (image, masks) in enumerate(small_tap.images()):
        said = captioner.captions(image, [*masks])
        assert said == official[f"{number}_captions"].tolist()
        seen.update(said)
    assert len(seen) > 10


def test_a_text_ends_at_the_end():
    """The likeliest word is the end after so many words as there are in each text; then nothing follows."""
    decoder = small_decoder()
    lengths, asked = iter(((3, 1, 2), (0, 0, 0), (99, 1, 0))), []

    class Scripted(torch.nn.Module):
        tok_embeddings = decoder.transformer.tok_embeddings
        blocks = ()

        def forward(self, x, past):
            asked.append(x.shape[1])
            logits = torch.zeros(3, small_tap.WORDS)
            logits[:, 7] = 1
            logits[[len(asked) > length for length in self.lengths], 2] = 2
            return logits

    decoder.transformer = Scripted()
    for wanted in lengths:
        asked.clear()
        decoder.transformer.lengths = wanted
        most = small_tap.SIZES.length - 2
        texts = decoder(torch.zeros(3, small_tap.SIZES.region), 1, 2)
        assert [len(text) for text in texts] == [min(length, most) for length in wanted]
        assert {word for text in texts for word in text} <= {7}
        assert asked == [2] + [1] * (min(max(wanted) + 1, most) - 1)


def small_decoder():
    from anyscene.segmenters.captions.tap.text_decoder import TextDecoder

    own = small_tap.SIZES
    torch.manual_seed(0)
    return TextDecoder(own.region, own.text, own.text_heads, own.text_depth, own.length, own.words)


def test_what_was_seen_before_is_kept_as_if_it_were_seen_again():
    """The words of one pass over a sequence are those of passes over its parts."""
    transformer = small_decoder().transformer.eval()
    x = torch.randn(2, 6, small_tap.SIZES.text, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        wanted = transformer(x, [None] * 3)
        past = [None] * 3
        for part in x.split([2, 1, 3], 1):
            found = transformer(part, past)
    assert (found - wanted).abs().max() < 1e-5 * wanted.abs().max()


def norm(down, right):
    """The length of the shortest way, of sides, diagonals and knight's moves, over so many rows and
    columns."""
    longer, shorter = np.maximum(abs(down), abs(right)), np.minimum(abs(down), abs(right))
    few = longer - 2 * shorter
    knights = np.where(few >= 0, shorter, longer - shorter)
    rest = np.where(few >= 0, few * 1.0, -few * 1.4)
    return knights * 2.1969 + rest


def test_the_depth_is_that_of_the_nearest_pixel_outside():
    random = np.random.default_rng(0)
    for _ in range(40):
        height, width = random.integers(1, 14, 2)
        mask = random.random((height, width)) < random.uniform(0.5, 1)
        row, column = np.nonzero(~mask)
        if len(row) == 0:
            continue
        down = np.arange(height)[:, None, None] - row
        right = np.arange(width)[None, :, None] - column
        assert np.abs(prompts.depth(mask) - norm(down, right).min(2)).max() < 1e-5


@pytest.mark.parametrize(
    ("rows", "columns", "wanted"),
    [
        ((0, 9), (0, 12), (0, 0)),  # the whole image: the first pixel
        ((2, 7), (3, 8), (5, 4)),
        ((2, 7), (3, 9), (5, 4)),  # of two, the left one
        ((0, 5), (0, 5), (0, 0)),  # the corner of the image is deepest
        ((4, 5), (7, 8), (7, 4)),
    ],
)
def test_the_point_is_the_deepest_one(rows, columns, wanted):
    mask = np.zeros((9, 12), bool)
    mask[slice(*rows), slice(*columns)] = True
    assert prompts.deepest(mask) == wanted
    assert prompts.deepest(np.asfortranarray(mask)) == wanted
    place, kind = prompts.prompt(mask)
    assert place.tolist() == [[*wanted], [0, 0]] and kind.tolist() == [1, 4]


@pytest.mark.parametrize(
    ("size", "height", "width"), [((3, 4), 48, 64), ((4, 3), 64, 48), ((5, 5), 64, 64), ((1, 64), 1, 64)]
)
def test_an_image_fills_the_square_as_far_as_it_can(size, height, width):
    square, scale = fitted(np.full((*size, 3), 200, np.uint8), 64)
    assert (square[:, :height, :width] == 200).all() and scale == 64 / max(size)
    outside = np.ones((64, 64), bool)
    outside[:height, :width] = False
    assert (square[:, outside] == np.array([[123], [116], [103]])).all()


def test_adjectives_stand_before_their_own_masks(captioner, monkeypatch):
    """Masks without pixels are not asked for."""
    image, masks = next(small_tap.images())
    first, second = masks[:2]
    asked = []

    def say(image, masks):
        asked.extend(masks)
        return ["a small wooden bench next to a red wall", "a black and white cat"][: len(masks)]

    monkeypatch.setattr(captioner, "captions", say)
    nothing = np.zeros_like(masks[0])
    found = captioner.modifiers(image, [nothing, first, nothing, second])
    assert found == ["", "small wooden", "", "black and white"]
    assert len(asked) == 2 and asked[0] is first and asked[1] is second


def test_no_mask_costs_nothing(captioner, monkeypatch):
    monkeypatch.setattr(captioner, "network", None)
    image, masks = next(small_tap.images())
    assert captioner.modifiers(image, []) == [] and captioner.modifiers(image, [masks[0] & False]) == [""]


def test_masks_do_not_depend_on_how_many_are_asked_for(captioner, monkeypatch):
    image, masks = next(small_tap.images())
    together = captioner.captions(image, [*masks])
    assert together == [captioner.captions(image, [mask])[0] for mask in masks]
    monkeypatch.setattr(tap_captioner, "REGIONS", 3)
    assert together == captioner.captions(image, [*masks])


def test_numbers_that_are_none_are_refused(captioner):
    image, masks = next(small_tap.images())
    other = copy.deepcopy(captioner)
    other.network.image_decoder.iou_token.weight.fill_(torch.nan)
    with pytest.raises(WeightsError, match="tap: tokens of masks are NaN or infinite"):
        other.captions(image, [*masks])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda state: state.pop("text_decoder.encoder.weight"), r"missing: text_decoder\.encoder\.weight"),
        (lambda state: state.update(extra=torch.ones(1)), "left over: extra"),
        (
            lambda state: state.update({"image_encoder.norm.bias": torch.ones(3)}),
            "of another shape: image_en",
        ),
        (lambda state: state.pop(STEM), f"{STEM} is missing"),
        (lambda state: state.update({STEM: torch.ones(99, 3, 16, 16)}), r"has the shape \[99, 3, 16, 16\]"),
    ],
)
def test_weights_of_another_architecture_are_refused(change, said):
    state = small_tap.state()
    change(state)
    with pytest.raises(WeightsError, match=f"tap.pkl: weights of another architecture.*{said}.*there"):
        network.load(state, Path("tap.pkl"), "there", (small_tap.SIZES,))


def test_weights_that_are_no_numbers_are_refused_when_they_are_loaded():
    state = small_tap.state()
    state["image_encoder.norm.bias"][1] = torch.nan
    with pytest.raises(
        WeightsError, match=r"tap\.pkl: damaged, image_encoder\.norm\.bias has values that are no n"
    ):
        network.load(state, Path("tap.pkl"), "there", (small_tap.SIZES,))


def test_constants_of_the_published_files_are_not_asked_for():
    state = small_tap.state() | {
        "pixel_mean": torch.ones(3),
        "image_encoder.blocks.0.attn.rel_pos_embed.index": torch.ones(256, 256).long(),
    }
    with_them, without = (
        network.load(tensors, Path("tap.pkl"), "there", (small_tap.SIZES,)).state_dict()
        for tensors in (state, small_tap.state())
    )
    assert with_them.keys() == without.keys()
    assert all(torch.equal(with_them[name], without[name]) for name in without)


def test_one_checkpoint_and_its_tokenizer_are_found(folder, tmp_path):
    with pytest.raises(
        WeightsError, match=r"tap_vit_h_v1_1\.pkl: no such.*anyscene weights fetch tap.*colour"
    ):
        tap.checkpoint(tmp_path)
    own = Path(shutil.copytree(folder, tmp_path / "tap"))
    file = own / "models/tap_vit_h_v1_1.pkl"
    assert tap.checkpoint(own) == file
    (own / tap.TOKENIZER).unlink()
    with pytest.raises(WeightsError, match=r"tap/text_tokenizer\.model: no such weights"):
        tap.checkpoint(own)
    save_file({"a": torch.ones(1)}, own / "models/tap_vit_l_v1_0.safetensors")
    (own / tap.TOKENIZER).touch()
    with pytest.raises(
        WeightsError, match=r"tap: holds models/tap_vit_h.*, models/tap_vit_l.*; keep the one"
    ):
        tap.checkpoint(own)
    file.unlink()
    assert tap.checkpoint(own).name == "tap_vit_l_v1_0.safetensors"


def test_a_copy_in_safetensors_says_the_same(folder, captioner, tmp_path):
    own = Path(shutil.copytree(folder, tmp_path / "tap"))
    file = tap.checkpoint(own)
    save_file(reading.read(file, "there"), file.with_suffix(".safetensors"))
    file.unlink()
    image, masks = next(small_tap.images())
    assert loaded(own).captions(image, [*masks]) == captioner.captions(image, [*masks])


def test_another_tokenizer_is_refused(folder, captioner, tmp_path, monkeypatch):
    """One that was not published, one of other words, and what is none."""
    file = tmp_path / "tap" / tap.TOKENIZER
    file.parent.mkdir()
    with pytest.raises(WeightsError, match=r"model: no such tokenizer; `anyscene weights fetch tap`"):
        tap_captioner.tokenizer(file, captioner.network)
    shutil.copy(folder / tap.TOKENIZER, file)
    with pytest.raises(
        WeightsError, match=r"text_tokenizer\.model: .* bytes, the published file has 499,723"
    ):
        tap_captioner.tokenizer(file, captioner.network)
    monkeypatch.setattr(catalogue, "published", lambda path: None)
    tap_captioner.tokenizer(file, captioner.network)
    with torch.device("meta"):
        other = Tap(dataclasses.replace(small_tap.SIZES, words=97))
    with pytest.raises(WeightsError, match=r"text_tokenizer\.model: 96 words, of which TAP knows 97"):
        tap_captioner.tokenizer(file, other)
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(WeightsError, match=r"text_tokenizer\.model: damaged tokenizer"):
        tap_captioner.tokenizer(file, captioner.network)


def test_the_model_is_loaded_by_its_name(folder):
    """From the folder of its name. A file of a small model is refused."""
    params = parameters.load()
    section = dataclasses.replace(params.segmenters, weights=str(folder.parent), captioner="tap")
    params = dataclasses.replace(params, segmenters=section)
    assert load_captioner(params, wanted=False).modifiers(np.zeros((2, 2, 3), np.uint8), []) == []
    with pytest.raises(WeightsError, match=rf"tap_vit_h_v1_1\.pkl: weights of another.*{STEM} has the shape"):
        load_captioner(params, wanted=True)
