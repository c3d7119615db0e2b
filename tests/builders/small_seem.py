"""A small SEEM of random weights, and images for it."""

import numpy as np
import torch

from anyscene.segmenters.seem.focal import Focal
from anyscene.segmenters.seem.network import Seem, Sizes

SIZES = ((30, 40), (40, 30), (32, 32), (45, 80), (24, 96), (61, 33))  # height, width of six images
SIDE = 64
CONFIDENCE, OVERLAP = 0.1, 0.3  # lower than SEEM's, so that there are several masks
# both kinds of backbone; the names of the published files that they are small copies of
ARCHITECTURES = {
    "focall": Sizes(Focal(16, (1, 1, 2, 1), 4, False), 64, 8, 128, 2, 3, 12, 2),
    "focalt": Sizes(Focal(24, (1, 1, 2, 1), 3, True), 64, 8, 128, 2, 3, 12, 2),
}
GENERATOR_SEED = 5


def images():
    """u1[H, W, 3] of each of SIZES: a coarse pattern of colours with noise."""
    random = np.random.default_rng(0)
    for height, width in SIZES:
        coarse = random.integers(0, 256, (4, 5, 3))
        row, column = np.arange(height) * 4 // height, np.arange(width) * 5 // width
        noise = random.integers(-20, 21, (height, width, 3))
        yield (coarse[row[:, None], column] + noise).clip(0, 255).astype(np.uint8)


def weights(shapes):
    """f4 tensors of `shapes`, a dict of them by name, of such sizes that signals neither die nor explode."""
    random = np.random.default_rng(GENERATOR_SEED)
    state = {}
    for name in sorted(shapes):
        shape = tuple(shapes[name])
        value = random.standard_normal(shape)
        if name.endswith("logit_scale"):
            value = np.full(shape, 5.0)
        elif "norm" in name or "ln_" in name or "gamma" in name:
            value = 0.1 * value + (0.0 if name.endswith("bias") else 1.0)
        elif name.endswith("bias"):
            value = 0.1 * value
        elif "query_" in name:
            value = 3 * value
        elif len(shape) > 1 and not name.endswith(("level_embed.weight", "embedding", "embedding.weight")):
            value = value / np.sqrt(np.prod(shape[1:]))
        state[name] = torch.from_numpy(np.asarray(value, np.float32))
    return state


def state(kind):
    """The tensors of the small SEEM of `kind`, by name."""
    with torch.device("meta"):
        own = Seem(ARCHITECTURES[kind]).state_dict()
    return weights({name: value.shape for name, value in own.items()})
