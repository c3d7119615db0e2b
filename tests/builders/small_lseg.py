"""A small LSeg with weights that only depend on their names, and images to show it."""

import zlib

import numpy as np
import torch

from anyscene.segmenters.lseg.dpt import Architecture, DensePredictor

ARCHITECTURE = Architecture(
    side=64, width=16, depth=4, heads=2, taken=(0, 1, 2, 3), reassembled=(4, 6, 8, 8), fused=8, out=512
)
SIZES = ((24, 32), (32, 24), (32, 32), (18, 32), (32, 13))  # height, width
BASE, CROP = 64, 64  # one cell for each pixel of SIZES
WIDE = ((36, 48), (70, 33), (40, 40), (20, 64), (9, 14))
WIDE_BASE, WINDOW = 112, 64


def state() -> dict[str, torch.Tensor]:
    """Parameters by their names, large enough that every layer matters."""
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in DensePredictor(ARCHITECTURE).state_dict().items()}
    return {name: torch.from_numpy(parameter(name, tuple(shape))) for name, shape in shapes.items()}


def parameter(name: str, shape: tuple[int, ...]) -> np.ndarray:
    draw = np.random.default_rng(zlib.crc32(name.encode())).random(shape)
    if name.endswith("num_batches_tracked"):
        return np.zeros((), np.int64)
    if name.endswith("running_var") or (len(shape) == 1 and name.endswith("weight")):
        return (0.5 + draw).astype(np.float32)
    if len(shape) == 1 or name.endswith("num_batches_tracked"):
        return (draw - 0.5).astype(np.float32)
    spread = 1.0 if name.endswith(("pos_embed", "cls_token")) else np.sqrt(6 / np.prod(shape[1:]))
    return ((2 * draw - 1) * spread).astype(np.float32)


def images(sizes: tuple[tuple[int, int], ...]) -> list[np.ndarray]:
    draw = np.random.default_rng(0)
    return [(draw.random((*size, 3)) * 256).astype(np.uint8) for size in sizes]


class Text:
    """Encodes a name as a row of a random matrix."""

    name, width = "open_clip:ViT-B-32:openai", 512

    def encode(self, texts):
        rows = [np.random.default_rng(zlib.crc32(text.encode())).random(512) - 0.5 for text in texts]
        return np.stack([row / np.linalg.norm(row) for row in rows]).astype(np.float32)
