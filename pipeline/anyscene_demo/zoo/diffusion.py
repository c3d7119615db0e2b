"""The demo's text-to-image model: Stable Diffusion in miniature, trained on rendered furniture.

A PatchAutoencoder takes images of 64 x 64 to latents of 16 x 16. UNet2DConditionModel of diffusers denoises
these with cross-attention to token states (v-prediction, squared-cosine betas, classifier-free guidance). The
saved files load as a StableDiffusionPipeline, whose text tower is the demo's text encoder.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from PIL import Image
from torch import Tensor, nn

from anyscene.arrays import I8, U1
from anyscene.capability.patch_autoencoder import PatchAutoencoder
from anyscene.capability.titles import CONDITION
from anyscene.text import TextEncoder
from anyscene_demo.zoo.schedule import move_average, rise_and_fall

CAPTIONS = (
    "a good photo of a {} in a room",
    "a photo of a {} in a room",
    "a good photo of a {}",
    "a {} in a room",
    "a {}",
)
TOKENS = 14
DIFFUSION_STEPS = 1000
MIN_SNR = 5.0

Report = Callable[[int, float], None]  # step, loss
Checkpoint = Callable[[int, UNet2DConditionModel], None]  # step, averaged weights


@dataclass(frozen=True)
class DiffusionRecipe:
    """Sizes and schedule. Together with the seed they determine the weights."""

    seed: int = 0
    images: int = 9_000  # rendered views
    size: int = 64  # of the images
    crops: int = 4  # of each rendered view
    latent_channels: int = 6
    early_images: int = 1200  # the autoencoder is solved on the first images; the first steps see no others
    early_steps: int = 1000
    steps: int = 6000
    restart: int = 2000  # this step begins from the averaged weights, with a new optimiser and warm-up
    batch: int = 32
    learning_rate: float = 1e-3
    warm_up: int = 200
    unconditional: float = 0.1  # share of samples trained without their caption
    averaging: float = 0.998


def build_denoiser(recipe: DiffusionRecipe) -> UNet2DConditionModel:
    """A denoiser with 5 M parameters. `attention_head_dim` is the number of heads; the finest scale has no
    self-attention."""
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=recipe.latent_channels,
        out_channels=recipe.latent_channels,
        block_out_channels=(64, 96, 128),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        only_cross_attention=(True, False, False),
        layers_per_block=1,
        attention_head_dim=4,
        cross_attention_dim=384,
        norm_num_groups=16,
    )


def build_scheduler() -> DDIMScheduler:
    return DDIMScheduler(
        num_train_timesteps=DIFFUSION_STEPS,
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
        clip_sample=False,
        set_alpha_to_one=True,
        steps_offset=1,
        timestep_spacing="trailing",
    )


def fit_autoencoder(images: U1, recipe: DiffusionRecipe) -> PatchAutoencoder:
    """The autoencoder of images u1[n, V, S, S, 3], fitted to the first crop of the first images."""
    first = _pixels(images[: recipe.early_images, 0])
    model: PatchAutoencoder = PatchAutoencoder(latent_channels=recipe.latent_channels).fit(first)
    model.eval().requires_grad_(False)
    return model


@torch.no_grad()
def encode(autoencoder: PatchAutoencoder, images: U1) -> Tensor:
    """f2[n, V, c, S/4, S/4]: the latents of images u1[n, V, S, S, 3]."""
    return torch.stack([autoencoder.encode(_pixels(crops)).half() for crops in images])


def caption_states(encoder: TextEncoder, names: Sequence[str]) -> tuple[Tensor, Tensor]:
    """(f4[K, V, T, D], f4[T, D]): the token states of the V captions of each name, and of the empty
    caption."""
    texts = [caption.format(name) for name in names for caption in CAPTIONS]
    states = torch.from_numpy(encoder.tokens([*texts, ""], TOKENS).state)
    return states[:-1].reshape(len(names), len(CAPTIONS), *states.shape[1:]), states[-1]


def train_denoiser(
    latents: Tensor,  # f2[n, V, c, s, s]
    labels: I8,  # i8[n] index into the names of the captions
    captions: Tensor,  # f4[K, V, T, D]
    empty: Tensor,  # f4[T, D]
    recipe: DiffusionRecipe,
    report: Report = lambda step, loss: None,
    checkpoint: Checkpoint | None = None,
    every: int = 1000,
    resume: UNet2DConditionModel | None = None,
) -> UNet2DConditionModel:
    """Train a denoiser, and return it with averaged weights. Every class is drawn equally often, whatever its
    number of images.

    The loss is the squared error of v, weighted by min(SNR, 5) / (SNR + 1) (Hang et al. 2023). `checkpoint`
    is called after every `every` steps and at the end. What it got at step `recipe.restart` can later be
    passed as `resume`.
    """
    torch.manual_seed(recipe.seed + 1)
    average = resume or build_denoiser(recipe)
    average.set_attn_processor(AttnProcessor())  # on a CPU faster than the fused kernel at this width
    average.eval().requires_grad_(False)
    scheduler = build_scheduler()
    signal = scheduler.alphas_cumprod
    begun = recipe.restart if resume else 0
    for step in range(begun, recipe.steps):
        if step in (begun, recipe.early_steps):
            known = labels[: recipe.early_images] if step < recipe.early_steps else labels
            members = [np.flatnonzero(known == k) for k in range(len(captions)) if (known == k).any()]
        if step in (0, recipe.restart):
            begun = step
            rng = np.random.default_rng([recipe.seed, 2, step])
            if step:
                average.half().float()  # as it is saved
            model = copy.deepcopy(average).train().requires_grad_(True)
            optimiser = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.99), weight_decay=0.01)
        rate = recipe.learning_rate * rise_and_fall(step, recipe.warm_up, recipe.steps, begun)
        for group in optimiser.param_groups:
            group["lr"] = rate
        chosen = np.array([rng.choice(members[k]) for k in rng.integers(len(members), size=recipe.batch)])
        x = latents[chosen, rng.integers(latents.shape[1], size=recipe.batch)].float()
        mirrored = torch.from_numpy(rng.random(recipe.batch) < 0.5)
        x = torch.where(mirrored[:, None, None, None], x.flip(-1), x)
        text = captions[labels[chosen], rng.integers(captions.shape[1], size=recipe.batch)]
        text[torch.from_numpy(rng.random(recipe.batch) < recipe.unconditional)] = empty
        # stratified over the batch: every step sees all noise levels
        t = torch.from_numpy(
            ((np.arange(recipe.batch) + rng.random(recipe.batch)) / recipe.batch * DIFFUSION_STEPS).astype(
                np.int64
            )
        )
        noise = torch.from_numpy(rng.standard_normal(x.shape, np.float32))
        noisy, target = scheduler.add_noise(x, noise, t), scheduler.get_velocity(x, noise, t)
        with torch.autocast("cpu", torch.bfloat16):
            v = model(noisy, t, text).sample
        snr = signal[t] / (1 - signal[t])
        error = (v.float() - target).square().mean((1, 2, 3))
        loss = (error * snr.clamp(max=MIN_SNR) / (snr + 1)).mean()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        known_steps = 1 + step - begun
        move_average(average, model, min(recipe.averaging, known_steps / (9 + known_steps)))
        report(step, float(loss.detach()))
        if checkpoint and ((step + 1) % every == 0 or step + 1 == recipe.steps):
            checkpoint(step + 1, average)
    return average


def save(
    folder: Path, autoencoder: PatchAutoencoder, denoiser: UNet2DConditionModel, encoder: TextEncoder
) -> None:
    """Write the pipeline as diffusers does, in half precision and without a text tower."""
    autoencoder = copy.deepcopy(autoencoder).half()
    pipeline = StableDiffusionPipeline(
        vae=autoencoder,
        text_encoder=None,
        tokenizer=None,
        unet=copy.deepcopy(denoiser).half(),
        scheduler=build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder, safe_serialization=True)
    (Path(folder) / CONDITION).write_text(
        json.dumps({"text_encoder": encoder.name, "tokens": TOKENS}) + "\n", encoding="utf-8"
    )


def portraits(rgb: U1, mask: U1, recipe: DiffusionRecipe) -> U1:
    """u1[n, V, size, size, 3]: V square crops of each image around its thing. rgb: u1[n, S, S, 3]; mask:
    b1[n, S, S], the pixels of the thing.

    The side of a square is 1.15 to 1.5 times that of the thing, at least half of the image and at most all of
    it. The crops of an image do not depend on how many images follow it.
    """
    rng = np.random.default_rng([recipe.seed, 1])
    views = np.empty((len(rgb), recipe.crops, recipe.size, recipe.size, 3), np.uint8)
    for i, (image, thing) in enumerate(zip(rgb, mask, strict=True)):
        whole = len(image)
        rows, columns = np.flatnonzero(thing.any(1)), np.flatnonzero(thing.any(0))
        extent = max(np.ptp(rows), np.ptp(columns)) + 1
        for j in range(recipe.crops):
            side = int(np.clip(extent * rng.uniform(1.15, 1.5), whole // 2, whole))
            top, left = (
                int(np.clip((p[0] + p[-1] + 1 - side) / 2 + rng.normal(0, 0.03) * side, 0, whole - side))
                for p in (rows, columns)
            )
            crop = Image.fromarray(image[top : top + side, left : left + side])
            views[i, j] = np.asarray(crop.resize((recipe.size, recipe.size), Image.Resampling.BICUBIC))
    return views


def _pixels(images: U1) -> Tensor:
    """u1[B, H, W, 3] -> f4[B, 3, H, W] in -1..1, channels last."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
