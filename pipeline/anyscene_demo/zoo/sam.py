"""The demo's SAM: segment-anything's classes at a small size, trained on rendered objects and rooms."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from scipy import ndimage
from segment_anything.modeling import Sam
from torch import Tensor, nn

from anyscene.arrays import B1, U1, U2
from anyscene.capability.pseudo_masks import POINTS, select_points
from anyscene.weights.sam import ARCHITECTURE, WEIGHTS, build_sam
from anyscene_demo.render import NO_LABEL
from anyscene_demo.zoo.schedule import move_average, rise_and_fall


@dataclass(frozen=True)
class SamArchitecture:
    """The sizes of the network, as `anyscene.weights.sam.build_sam` takes them."""

    image_size: int = 64  # pixels
    patch: int = 4  # pixels
    width: int = 96
    depth: int = 3
    heads: int = 3
    prompt_width: int = 64
    pixel_mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    pixel_std: tuple[float, float, float] = (58.395, 57.12, 57.375)


@dataclass(frozen=True)
class SamRecipe:
    """Together with the seed it determines the weights."""

    seed: int = 0
    objects: int = 12_000  # examples
    in_rooms: int = 8_000  # examples
    steps: int = 800
    batch: int = 32
    learning_rate: float = 2e-3
    warm_up: int = 60
    averaging: float = 0.99
    architecture: SamArchitecture = field(default_factory=SamArchitecture)


@dataclass(frozen=True)
class Examples:
    """Images with one mask each."""

    image: U1  # u1[n, S, S, 3]
    mask: B1  # b1[n, S, S], neither empty nor full

    def __len__(self) -> int:
        return len(self.image)


def object_examples(rgb: U1, mask: B1, count: int, size: int, seed: int) -> Examples:
    """`count` closer or wider views of objects. rgb: u1[n, S, S, 3]; mask: b1[n, S, S], their silhouettes."""
    rng = np.random.default_rng([seed, 4])
    return _gather(count, size, lambda: _object(rgb, mask, rng), rng)


def room_examples(rgb: U1, label: U1, instance: U2, count: int, size: int, seed: int) -> Examples:
    """`count` things in frames of rooms. rgb: u1[n, H, W, 3]; label: u1[n, H, W], 255 = none; instance:
    u2[n, H, W].

    A thing is an object, or all that is visible of the walls or of the floor (instance 0).
    """
    rng = np.random.default_rng([seed, 5])
    return _gather(count, size, lambda: _in_room(rgb, label, instance, rng), rng)


def join(*parts: Examples) -> Examples:
    return Examples(
        np.concatenate([part.image for part in parts]), np.concatenate([part.mask for part in parts])
    )


def train(
    examples: Examples,
    recipe: SamRecipe,
    report: Callable[[int, float], None] = lambda step, loss: None,
    checkpoint: Callable[[int, Sam], None] | None = None,
    every: int = 200,
) -> Sam:
    """Train a Sam to return the mask in which 1 to 3 positive points lie. The loss is binary cross-entropy
    and Dice of the mask, and the squared error of its own estimate of the IoU.

    Half of the prompts are chosen as the pipeline chooses them, from a distorted mask; the others are random.
    """
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng([recipe.seed, 3])
    sam = build_sam(**asdict(recipe.architecture)).train()
    optimiser = torch.optim.AdamW(
        sam.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.99), weight_decay=0.02
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: rise_and_fall(step, recipe.warm_up, recipe.steps)
    )
    average = copy.deepcopy(sam).eval().requires_grad_(False)
    for step in range(recipe.steps):
        chosen = rng.integers(len(examples), size=recipe.batch)
        image, mask = _augmented(examples.image[chosen], examples.mask[chosen], rng)
        points, labels = prompts(mask, rng)
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
        move_average(average, sam, min(recipe.averaging, (1 + step) / (10 + step)))
        report(step, float(loss.detach()))
        if checkpoint and ((step + 1) % every == 0 or step + 1 == recipe.steps):
            checkpoint(step + 1, average)
    return average


def predict(sam: Sam, images: Tensor, points: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """(mask logits f4[B, 1, 4g, 4g], IoU estimates f4[B, 1]) for one prompt in each image. images: f4[B, 3,
    S, S] in 0..255; points: f4[B, P, 2], x and y in pixels; labels: i8[B, P], 1 = positive, -1 = padding.

    The mask decoder takes many prompts for one image. For one prompt in many images, the embedding of each
    image is added to the dense prompt, where the decoder would add that of the one image.
    """
    embedding = sam.image_encoder((images - sam.pixel_mean) / sam.pixel_std)
    sparse, dense = sam.prompt_encoder(points=(points, labels), boxes=None, masks=None)
    logits, estimate = sam.mask_decoder(
        image_embeddings=torch.zeros_like(embedding[:1]),
        image_pe=sam.prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense + embedding,
        multimask_output=False,
    )
    return logits, estimate


def save(folder: Path, sam: Sam, recipe: SamRecipe) -> None:
    """Write the architecture, and the weights in half precision."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ARCHITECTURE).write_text(
        json.dumps(asdict(recipe.architecture), indent=2) + "\n", encoding="utf-8"
    )
    save_file({name: value.half().contiguous() for name, value in sam.state_dict().items()}, folder / WEIGHTS)


def _object(rgb: U1, mask: B1, rng: np.random.Generator) -> tuple[U1, B1]:
    i = rng.integers(len(rgb))
    return rgb[i], np.asarray(mask[i])


def _in_room(rgb: U1, label: U1, instance: U2, rng: np.random.Generator) -> tuple[U1, B1]:
    i = rng.integers(len(rgb))
    thing = instance[i].astype(np.int64) * 256 + label[i]
    kinds = np.unique(thing[label[i] != NO_LABEL])
    return rgb[i], thing == (rng.choice(kinds) if len(kinds) else -1)


def _gather(count: int, size: int, draw: Callable[[], tuple[U1, B1]], rng: np.random.Generator) -> Examples:
    """Square crops around the masks that `draw` returns, in which these take 2 to 90 % of the image."""
    images, masks = np.empty((count, size, size, 3), np.uint8), np.empty((count, size, size), bool)
    done = 0
    while done < count:
        image, mask = draw()
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if len(rows) < 4 or len(columns) < 4:
            continue
        largest = min(mask.shape)
        extent = max(np.ptp(rows), np.ptp(columns)) + 1
        side = int(np.clip(extent * rng.uniform(1.1, 2.5), largest // 3, largest))
        top, left = (
            int(np.clip((p[0] + p[-1] + 1 - side) / 2 + rng.normal(0, 0.1) * side, 0, length - side))
            for p, length in ((rows, mask.shape[0]), (columns, mask.shape[1]))
        )
        box = (left, top, left + side, top + side)
        crop = Image.fromarray(image).crop(box)
        images[done] = np.asarray(crop.resize((size, size), Image.Resampling.BICUBIC))
        soft = (
            Image.fromarray(mask.astype(np.uint8) * 255).crop(box).resize((size, size), Image.Resampling.BOX)
        )
        masks[done] = np.asarray(soft) > 127
        done += 0.02 < masks[done].mean() < 0.9
    return Examples(images, masks)


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


def _augmented(image: U1, mask: B1, rng: np.random.Generator) -> tuple[U1, B1]:
    """Vary mirroring, brightness and contrast, and soften half of the images, as generated images are
    soft."""
    image, mask = image.astype(np.float32), mask.copy()
    for i in range(len(image)):
        if rng.random() < 0.5:
            image[i], mask[i] = image[i, :, ::-1], mask[i, :, ::-1]
        if rng.random() < 0.5:
            image[i] = ndimage.gaussian_filter(image[i], (sigma := rng.uniform(0.3, 1.0), sigma, 0))
        image[i] = (image[i] - 128) * rng.uniform(0.75, 1.25) + 128 + rng.uniform(-25, 25)
    return np.clip(image, 0, 255), mask


def prompts(mask: B1, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """(points f4[B, 3, 2] as x and y, labels i8[B, 3]): prompts for masks b1[B, S, S]."""
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


def _distorted(mask: B1, rng: np.random.Generator) -> B1:
    """A coarse mask as attention might give it: a blurred patch of the true one."""
    field = ndimage.gaussian_filter(mask.astype(np.float32), rng.uniform(1, 4))
    field *= 1 + ndimage.gaussian_filter(rng.standard_normal(mask.shape), 6) * rng.uniform(0, 8)
    distorted: B1 = field > rng.uniform(0.3, 0.8) * field.max()
    return distorted
