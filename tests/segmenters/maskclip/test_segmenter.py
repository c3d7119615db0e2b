import dataclasses
import json

import numpy as np
import open_clip
import pytest
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from scipy.special import erf

from anyscene.errors import ConfigError, TextError, WeightsError
from anyscene.project import parameters
from anyscene.project.parameters import Text
from anyscene.segmenters import Segmenter, load_segmenter
from anyscene.segmenters.maskclip import Settings
from anyscene.segmenters.maskclip import segmenter as maskclip
from anyscene.segmenters.maskclip.segmenter import MaskClipSegmenter
from anyscene.testing import SegmenterTests
from anyscene.text import load_text_encoder

VOCABULARY = ("wall", "floor", "chair", "table", "orange tree")
CPU = torch.device("cpu")
MODEL = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": [32, 48], "layers": 3, "width": 24, "patch_size": 8, "head_width": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """Name of a small random open_clip model and of its checkpoint."""
    folder = tmp_path_factory.mktemp("open_clip")
    for name, change in {
        "small": {},
        "scaled": {"ls_init_value": 0.5},
        "pooled": {"attentional_pool": True, "attn_pooler_heads": 2, "attn_pooler_queries": 4},
        "custom": {"block_type": "custom"},
    }.items():
        content = MODEL | {"vision_cfg": MODEL["vision_cfg"] | change}
        (folder / f"ViT-{name}.json").write_text(json.dumps(content))
    open_clip.add_model_config(folder)
    save("ViT-small", folder / "small.pt")
    return f"open_clip:ViT-small:{folder / 'small.pt'}"


def save(model, file, seed=0):
    torch.manual_seed(seed)
    network = open_clip.create_model(model, pretrained=None)
    for value in network.parameters():  # also of biases and norms, which begin as 0 and 1
        torch.nn.init.normal_(value, 0.2 if value.ndim == 1 else 0, 0.3)
    torch.save(network.state_dict(), file)


@pytest.fixture(scope="module")
def text(encoder):
    return load_text_encoder(Text(encoder, "a {} in a scene"))


@pytest.fixture(scope="module")
def load(encoder, text):
    return lambda base=48: MaskClipSegmenter(
        "maskclip", maskclip.load_tower(encoder), text, Settings(base), CPU
    )


class TestProtocol(SegmenterTests):
    labels_everywhere = True

    @pytest.fixture(scope="class")
    def segmenter(self, load):
        return load()


def noise(height, width, count=1):
    return np.random.default_rng(height).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("model", ["small", "scaled"])
@pytest.mark.parametrize("size", [(32, 48), (24, 64), (56, 16), (8, 8)])
def test_values_equal_a_slow_reading_of_the_paper(encoder, tmp_path, model, size):
    save(f"ViT-{model}", tmp_path / "weights.pt", seed=1)
    tower = maskclip.load_tower(f"open_clip:ViT-{model}:{tmp_path / 'weights.pt'}").eval()
    image = np.random.default_rng(2).normal(size=(3, *size)).astype(np.float32)
    with torch.inference_mode():
        found = maskclip.values(tower, torch.from_numpy(image)[None])[0].numpy()
    wanted = slow_values({key: value.numpy() for key, value in tower.state_dict().items()}, image)
    assert found.shape == wanted.shape == (size[0] // 8, size[1] // 8, 16)
    assert np.abs(found - wanted).max() < 1e-5
    if size == (32, 48):  # of an image as in training, positions are what was learned
        assert maskclip.positions(tower.positional_embedding, (4, 6), (4, 6)) is tower.positional_embedding


def slow_values(state, image, side=8, heads=3):
    """f8[h, w, C] of f4[3, H, W], token by token."""
    state = {key: value.astype(np.float64) for key, value in state.items()}
    rows, columns = image.shape[1] // side, image.shape[2] // side
    tokens = [state["class_embedding"] + state["positional_embedding"][0]]
    learned = state["positional_embedding"][1:].reshape(4, 6, -1)
    for row, column in np.ndindex(rows, columns):
        patch = image[:, row * side : (row + 1) * side, column * side : (column + 1) * side]
        token = np.array([(kernel * patch).sum() for kernel in state["conv1.weight"]])
        place = sum(
            down * right * learned[y, x]
            for y, down in cubic(row, 4, rows)
            for x, right in cubic(column, 6, columns)
        )
        tokens.append(token + place)
    tokens = [norm(token, state, "ln_pre") for token in tokens]
    for number in range(2):
        name = f"transformer.resblocks.{number}."
        queries, keys, held = zip(*(split(token, state, name) for token in tokens), strict=True)
        changed = []
        for token, query in zip(tokens, queries, strict=True):
            mixed = []
            for head in np.split(np.arange(24), heads):
                weight = np.exp([query[head] @ key[head] / np.sqrt(len(head)) for key in keys])
                mixed.append(sum(w * v[head] for w, v in zip(weight / weight.sum(), held, strict=True)))
            token = token + out(np.concatenate(mixed), state, name)
            inner = state[name + "mlp.c_fc.weight"] @ norm(token, state, name + "ln_2")
            inner = inner + state[name + "mlp.c_fc.bias"]
            inner = inner * (1 + erf(inner / np.sqrt(2))) / 2
            mlp = state[name + "mlp.c_proj.weight"] @ inner + state[name + "mlp.c_proj.bias"]
            changed.append(token + mlp * state.get(name + "ls_2.gamma", 1))
        tokens = changed
    name = "transformer.resblocks.2."
    found = np.zeros((rows, columns, 16))
    for place, token in zip(np.ndindex(rows, columns), tokens[1:], strict=True):
        feature = norm(out(split(token, state, name)[2], state, name), state, "ln_post") @ state["proj"]
        found[place] = feature / np.linalg.norm(feature)
    return found


def norm(token, state, name):
    token = (token - token.mean()) / np.sqrt(token.var() + 1e-5)
    return token * state[f"{name}.weight"] + state[f"{name}.bias"]


def split(token, state, name):
    """Query, key and value of a token."""
    weight, bias = state[name + "attn.in_proj_weight"], state[name + "attn.in_proj_bias"]
    return np.split(weight @ norm(token, state, name + "ln_1") + bias, 3)


def out(value, state, name):
    projected = state[name + "attn.out_proj.weight"] @ value + state[name + "attn.out_proj.bias"]
    return projected * state.get(name + "ls_1.gamma", 1)


def cubic(place, old, new):
    """(index, weight) of the four neighbours of cell `place` of `new` among `old`, Keys' kernel, a = -3/4."""
    centre = (place + 0.5) * old / new - 0.5
    for index in range(int(np.floor(centre)) - 1, int(np.floor(centre)) + 3):
        far = abs(centre - index)
        if far <= 1:
            weight = 1.25 * far**3 - 2.25 * far**2 + 1
        else:
            weight = -0.75 * (far**3 - 5 * far**2 + 8 * far - 4)
        yield min(max(index, 0), old - 1), weight


@pytest.mark.parametrize(
    ("size", "base", "wanted"),
    [
        ((32, 48), 48, (4, 6)),
        ((240, 320), 640, (60, 80)),
        ((320, 240), 64, (8, 6)),
        ((45, 160), 64, (2, 8)),
        ((1, 300), 64, (1, 8)),
        ((1, 1), 48, (6, 6)),
    ],
)
def test_grid_keeps_the_shape_of_the_image(size, base, wanted):
    assert maskclip.patches(size, (8, 8), base) == wanted


@pytest.mark.parametrize(
    "size", [(96, 96), (32, 48), (60, 80), (80, 60), (45, 160), (160, 30), (1, 1), (7, 300)]
)
def test_protocol(load, size):
    segmenter, images = load(), noise(*size, 2)
    assert isinstance(segmenter, Segmenter)
    found, labels = segmenter.describe(images), segmenter.label(images, VOCABULARY)
    for one in found:
        assert tuple(one.feature.shape) == (*maskclip.patches(size, (8, 8), 48), 16)
        assert torch.allclose(one.feature.norm(dim=2), torch.tensor(1.0), atol=1e-5)
    assert labels.shape == (2, *size) and labels.dtype == np.int16
    assert labels.min() >= 0 and labels.max() < len(VOCABULARY)
    alone = np.concatenate([segmenter.label(image[None], VOCABULARY) for image in images])
    assert np.array_equal(labels, alone)
    assert (
        segmenter.label(images[:0], VOCABULARY).shape == (0, *size) and segmenter.describe(images[:0]) == []
    )


def test_a_batch_in_one_pass_as_on_a_gpu(load, monkeypatch):
    segmenter, images = load(), noise(32, 48, 3)
    alone, labels = segmenter.describe(images), segmenter.label(images, VOCABULARY)
    monkeypatch.setattr(maskclip, "passes", lambda images, device: iter([images]))
    for one, together in zip(alone, segmenter.describe(images), strict=True):
        assert torch.allclose(one.feature, together.feature, atol=1e-5)
    assert (segmenter.label(images, VOCABULARY) != labels).mean() < 0.01


def test_preprocessing_is_that_of_the_model(load, encoder):
    """An image in the size of the training is seen as open_clip's own transform makes it."""
    (image,), segmenter = noise(32, 48), load(48)
    tower = segmenter.tower
    transform = image_transform_v2(PreprocessCfg(**tower.preprocess_cfg), is_train=False)
    wanted = maskclip.values(tower, transform(Image.fromarray(image))[None])[0]
    assert torch.allclose(segmenter.describe(image[None])[0].feature, wanted, atol=1e-5)


@pytest.mark.parametrize("method", ["describe", "label"])
@pytest.mark.parametrize("damaged", ["tower", "std"])
def test_nan_is_no_answer(load, method, damaged):
    segmenter = load()
    if damaged == "std":
        segmenter.std.zero_()
    else:
        segmenter.tower.conv1.weight[0, 0, 0, 0] = torch.nan
    with pytest.raises(WeightsError, match=r"^maskclip: features are NaN or infinite: damaged weights"):
        getattr(segmenter, method)(noise(32, 48), VOCABULARY)


def test_labels_are_of_the_nearest_text(load, text):
    segmenter, image = load(), noise(32, 48)
    feature = segmenter.describe(image)[0].feature.numpy()
    target = text.encode([f"a {name} in a scene" for name in VOCABULARY])
    centre = segmenter.label(image, VOCABULARY)[0]
    best = (feature @ target.T).argmax(2)
    assert len(np.unique(best)) > 1
    # the four pixels in the middle of a patch are nearly its own
    assert (centre[3::8, 3::8] == best).mean() > 0.8


def with_encoder(name):
    return dataclasses.replace(parameters.load(), text=Text(name, "a {} in a scene"))


def test_loads_by_name_in_the_space_of_the_text(encoder):
    segmenter = load_segmenter("maskclip", with_encoder(encoder))
    assert segmenter.name == "maskclip" and segmenter.describe(noise(8, 8))[0].feature.shape[2] == 16


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("minilm", TextError, "minilm has none: set `text.encoder`"),
        ("open_clip:ViT-small", WeightsError, "names no weights"),
        ("open_clip:ViT-small:weights/none.pt", WeightsError, "weights/none.pt: no such weights"),
        (
            "open_clip:ViT-small:none",
            WeightsError,
            "cannot load the image tower of open_clip:ViT-small:none: .*Give the path of a checkpoint in",
        ),
    ],
)
def test_an_encoder_without_weights_is_refused(encoder, name, error, message):
    with pytest.raises(error, match=message):
        load_segmenter("maskclip", with_encoder(name))


@pytest.mark.parametrize("model", ["ViT-pooled", "ViT-custom", "convnext"])
def test_other_towers_are_refused(text, model):
    other = model == "convnext"
    tower = torch.nn.Conv2d(3, 16, 4) if other else open_clip.create_model(model, pretrained=None).visual
    with pytest.raises(TextError, match="last attention layer of a ViT"):
        MaskClipSegmenter("maskclip", tower, text, Settings(48), CPU)


def test_a_tower_of_another_width_than_the_text_is_refused(text):
    tower = open_clip.create_model("ViT-B-32", pretrained=None).visual
    with pytest.raises(TextError, match=f"is {text.width} wide, its image tower 512"):
        MaskClipSegmenter("maskclip", tower, text, Settings(48), CPU)


def test_base_must_be_positive():
    with pytest.raises(ConfigError, match=r"segmenters\.maskclip"):
        Settings(0)
