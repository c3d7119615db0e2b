"""The demo's SAM: segment-anything's classes at a small size, trained on rendered objects and rooms."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from scipy import ndimage
from segment_anything.modeling import Sam
from torch import Tensor, nn

from pipeline.pseudo_masks import ARCHITECTURE, POINTS, WEIGHTS, build_sam, select_points


@dataclass(frozen=True)
class Architecture:
    image_size: int = 64
    patch: int = 4
    width: int = 96
    depth: int = 4
    heads: int = 3
    prompt_width: int = 64
    pixel_mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    pixel_std: tuple[float, float, float] = (58.395, 57.12, 57.375)


@dataclass(frozen=True)
class Recipe:
    """With the seed it makes the weights."""

    seed: int = 0
    steps: int = 1500
    batch: int = 32
    learning_rate: float = 2e-3
    architecture: Architecture = field(default_factory=Architecture)


@dataclass(frozen=True)
class Examples:
    """Images u1[n, S, S, 3] with one mask b1[n, S, S] each, neither empty nor full."""

    image: np.ndarray
    mask: np.ndarray

    def __len__(self) -> int:
        return len(self.image)


def train(
    examples: Examples, recipe: Recipe, report: Callable[[int, float], None] = lambda step, loss: None
) -> Sam:
    """Sam trained to give the mask that 1 to 3 positive points lie in: binary cross-entropy and Dice on the
    mask, squared error on its own estimate of the IoU.

    Half of the prompts are chosen as the pipeline chooses them, from a distorted mask, the others at random.
    """
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng([recipe.seed, 3])
    sam = build_sam(**asdict(recipe.architecture)).train()
    optimiser = torch.optim.AdamW(
        sam.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.99), weight_decay=0.02
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, recipe.learning_rate, total_steps=recipe.steps + 1, pct_start=0.1
    )
    for step in range(recipe.steps):
        chosen = rng.integers(len(examples), size=recipe.batch)
        image, mask = _augmented(examples.image[chosen], examples.mask[chosen], rng)
        points, labels = _prompts(mask, rng)
        target = torch.from_numpy(mask).float()[:, None]
        with torch.autocast("cpu", torch.bfloat16):
            logits, estimate = predict(
                sam, torch.from_numpy(image).permute(0, 3, 1, 2).float(), points, labels
            )
        loss = _loss(logits.float(), estimate.float(), target)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(sam.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        report(step, float(loss.detach()))
    return sam.eval().requires_grad_(False)


def predict(sam: Sam, images: Tensor, points: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Mask logits [B, 1, 4g, 4g] and IoU estimates [B, 1] for one prompt per image: images f4[B, 3, S, S] in
    0..255, points f4[B, P, 2] (x, y) in pixels, labels i8[B, P] (1 = positive, -1 = padding).

    The mask decoder takes many prompts of one image; for one prompt of many images each image's embedding
    enters with the dense prompt, to which the decoder adds that of the one image anyway.
    """
    embedding = sam.image_encoder((images - sam.pixel_mean) / sam.pixel_std)
    sparse, dense = sam.prompt_encoder(points=(points, labels), boxes=None, masks=None)
    return sam.mask_decoder(
        image_embeddings=torch.zeros_like(embedding[:1]),
        image_pe=sam.prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense + embedding,
        multimask_output=False,
    )


def save(folder: Path, sam: Sam, recipe: Recipe) -> None:
    """Write architecture and half-precision weights."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ARCHITECTURE).write_text(json.dumps(asdict(recipe.architecture), indent=2) + "\n")
    save_file({name: value.half().contiguous() for name, value in sam.state_dict().items()}, folder / WEIGHTS)


def _loss(logits: Tensor, estimate: Tensor, target: Tensor) -> Tensor:
    target = F.interpolate(target, logits.shape[-2:], mode="area")
    probability = logits.sigmoid()
    overlap = (probability * target).sum((1, 2, 3))
    dice = 1 - (2 * overlap + 1) / (probability.sum((1, 2, 3)) + target.sum((1, 2, 3)) + 1)
    with torch.no_grad():
        inside, wanted = logits > 0, target > 0.5
        iou = (inside & wanted).sum((1, 2, 3)) / (inside | wanted).sum((1, 2, 3)).clamp(min=1)
    return (
        F.binary_cross_entropy_with_logits(logits, target)
        + dice.mean()
        + 0.1 * F.mse_loss(estimate[:, 0], iou)
    )


def _augmented(
    image: np.ndarray, mask: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Mirroring, brightness and contrast, and the softness of generated images in half of the cases."""
    image, mask = image.astype(np.float32), mask.copy()
    for i in range(len(image)):
        if rng.random() < 0.5:
            image[i], mask[i] = image[i, :, ::-1], mask[i, :, ::-1]
        if rng.random() < 0.5:
            image[i] = ndimage.gaussian_filter(image[i], (sigma := rng.uniform(0.3, 1.0), sigma, 0))
        image[i] = (image[i] - 128) * rng.uniform(0.75, 1.25) + 128 + rng.uniform(-25, 25)
    return np.clip(image, 0, 255), mask


def _prompts(mask: np.ndarray, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """points f4[B, 3, 2] (x, y) and labels i8[B, 3] for masks b1[B, S, S]."""
    points = np.zeros((len(mask), POINTS, 2), np.float32)
    labels = np.full((len(mask), POINTS), -1, np.int64)
    for i, whole in enumerate(mask):
        places = np.empty((0, 2), np.int64)
        if rng.random() < 0.5:
            places = select_points(_distorted(whole, rng))[:POINTS]
            places = places[whole[places[:, 0], places[:, 1]]]
        if len(places) == 0:
            places = rng.permutation(np.argwhere(whole))[: rng.integers(1, POINTS + 1)]
        points[i, : len(places)] = places[:, ::-1]
        labels[i, : len(places)] = 1
    return torch.from_numpy(points), torch.from_numpy(labels)


def _distorted(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A coarse mask as attention might give it: a blurred patch of the true one."""
    field = ndimage.gaussian_filter(mask.astype(np.float32), rng.uniform(1, 4))
    field *= 1 + ndimage.gaussian_filter(rng.standard_normal(mask.shape), 6) * rng.uniform(0, 8)
    return field > rng.uniform(0.3, 0.8) * field.max()
