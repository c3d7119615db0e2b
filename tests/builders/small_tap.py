"""A small TAP of random weights, a small tokenizer, and images with masks for it."""

import io
import pickle

import numpy as np
import sentencepiece
import torch

from anyscene.segmenters.captions.tap import FILES, TOKENIZER
from anyscene.segmenters.captions.tap.network import Tap, TapSizes
from tests.builders import small_seem

WORDS = 96
SIZES = TapSizes(
    width=32,
    depth=8,
    heads=2,
    window=16,
    region=32,
    region_heads=4,
    feedforward=64,
    concepts=48,
    text=32,
    text_heads=2,
    text_depth=3,
    length=12,
    words=WORDS,
)
SENTENCES = (
    "a brown wooden table",
    "a white wall",
    "a small black chair next to a table",
    "a large red and white rug on the floor",
    "an old grey sofa",
)


def images():
    """(u1[H, W, 3], b1[n, H, W]): six images of different shapes, and masks of each: a rectangle at an edge,
    an ellipse, a ring, a single pixel."""
    random = np.random.default_rng(1)
    for image in small_seem.images():
        image = image.repeat(3, 0).repeat(3, 1)
        image = (image.astype(int) + random.integers(-9, 10, image.shape)).clip(0, 255).astype(np.uint8)
        height, width = image.shape[:2]
        row, column = np.mgrid[:height, :width]
        away = np.hypot((row - height / 2) / height, (column - width / 3) / width)
        masks = [
            (row < height / 2) & (column < width / 3),
            away < 0.2,
            (away > 0.25) & (away < 0.4),
            (row == height - 2) & (column == 3),
        ]
        yield image, np.array(masks)


def state(sizes=SIZES):
    """The tensors of a TAP of those sizes, by name, such that signals neither die nor explode."""
    with torch.device("meta"):
        own = Tap(sizes).state_dict()
    random = np.random.default_rng(7)
    found = {}
    for name in sorted(own):
        shape = tuple(own[name].shape)
        value = random.standard_normal(shape)
        if name.endswith("num_batches_tracked"):
            found[name] = torch.tensor(1)
            continue
        if name.endswith("running_var"):
            value = 1 + 0.2 * np.abs(value)
        elif name.endswith("bias") or name.endswith("running_mean"):
            value = 0.1 * value
        elif "norm" in name or ("neck" in name and name.endswith("1.weight")) or "output_conv.1" in name:
            value = 1 + 0.1 * value
        elif (
            "mask_pred" not in name
            and len(shape) > 1
            and not name.endswith(("tokens.weight", "token.weight"))
        ):
            fan = np.prod(shape[1:]) if "embed" not in name and "coord" not in name else 1
            value = value / np.sqrt(fan)
        found[name] = torch.from_numpy(np.asarray(value, np.float32))
    return found


def write(folder, file=FILES[0]):
    """A folder of the small TAP, as the published one is: a pickle of arrays, and a tokenizer, whose sha256
    is not the published one."""
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        pickle.dump({name: value.numpy() for name, value in state().items()}, stream)
    (folder / TOKENIZER).write_bytes(tokenizer())
    return folder


def tokenizer():
    """The bytes of a small tokenizer, of the kind that TAP has."""
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES * 20),
        model_writer=written,
        vocab_size=WORDS,
        model_type="bpe",
        normalization_rule_name="identity",
        hard_vocab_limit=False,
        minloglevel=2,
    )
    return written.getvalue()
