"""The demo's text-to-image model: Stable Diffusion in miniature, trained on rendered furniture.

The parts are diffusers' own: an AutoencoderKL takes 64 x 64 images to 16 x 16 latents, a UNet2DConditionModel
with cross-attention on token states denoises them (v-prediction, squared-cosine betas, classifier-free
guidance). What is saved loads as a StableDiffusionPipeline whose text tower is the demo's text encoder.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor, nn

from pipeline.text import TextEncoder

CAPTIONS = (
    "a good photo of a {} in a room",
    "a photo of a {} in a room",
    "a good photo of a {}",
    "a {} in a room",
    "a {}",
)
CONDITION = "condition.json"  # which text encoder of ours conditions the denoiser, and its number of tokens
TOKENS = 14
DIFFUSION_STEPS = 1000
MIN_SNR = 5.0

Report = Callable[[int, float], None]  # step, loss
Checkpoint = Callable[[int, UNet2DConditionModel], None]  # step, averaged weights


@dataclass(frozen=True)
class Recipe:
    """Sizes and schedule; with the seed they make the weights."""

    seed: int = 0
    latent_channels: int = 4
    autoencoder_steps: int = 900
    autoencoder_batch: int = 32  # crops
    crop: int = 32
    autoencoder_learning_rate: float = 2e-3
    steps: int = 6000
    batch: int = 32
    learning_rate: float = 8e-4
    warm_up: int = 200
    unconditional: float = 0.1  # share of samples trained without their caption
    averaging: float = 0.999


def build_autoencoder(recipe: Recipe) -> AutoencoderKL:
    """Three scales, 64 -> 16 pixels; no attention, so it takes crops and any size."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(24, 48, 64),
        layers_per_block=1,
        latent_channels=recipe.latent_channels,
        norm_num_groups=8,
        sample_size=64,
        mid_block_add_attention=False,
        scaling_factor=1.0,
        force_upcast=False,
    )


def build_denoiser(recipe: Recipe) -> UNet2DConditionModel:
    """5 M parameters. `attention_head_dim` is the number of heads; the finest scale has no self-attention."""
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


def train_autoencoder(
    images: np.ndarray, recipe: Recipe, report: Report = lambda step, loss: None
) -> AutoencoderKL:
    """Autoencoder of `images` u1[n, S, S, 3], trained on random crops with an absolute and an edge loss.

    Its latents come out whitened (mean 0, standard deviation 1 per channel, over `images`): the scaling is
    folded into the two 1 x 1 convolutions next to the latents, so `scaling_factor` is 1.
    """
    torch.manual_seed(recipe.seed)  # initial weights are drawn from the global generator
    rng = np.random.default_rng([recipe.seed, 1])
    model = build_autoencoder(recipe).train().to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(model.parameters(), lr=recipe.autoencoder_learning_rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: _warm_cosine(step, 50, recipe.autoencoder_steps)
    )
    for step in range(recipe.autoencoder_steps):
        x = _pixels(_crops(images, recipe.autoencoder_batch, recipe.crop, rng))
        with torch.autocast("cpu", torch.bfloat16):
            posterior = model.encode(x).latent_dist
            noise = torch.from_numpy(rng.standard_normal(posterior.mean.shape, np.float32))
            latent = posterior.mean + 0.05 * noise
            y = model.decode(latent).sample
        y = y.float()
        loss = (x - y).abs().mean() + _edges(x, y) + 1e-4 * posterior.mean.float().square().mean()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        report(step, float(loss.detach()))
    model.eval().requires_grad_(False)
    _whiten(model, images[rng.permutation(len(images))[:512]])
    return model


@torch.no_grad()
def encode(autoencoder: AutoencoderKL, images: np.ndarray, batch: int = 64) -> Tensor:
    """f2[n, c, S/4, S/4]: latents of images u1[n, S, S, 3]."""
    parts = [
        autoencoder.encode(_pixels(images[i : i + batch])).latent_dist.mean.half()
        for i in range(0, len(images), batch)
    ]
    return torch.cat(parts)


def caption_states(encoder: TextEncoder, names: Sequence[str]) -> tuple[Tensor, Tensor]:
    """f4[K, V, T, D] token states of the V captions of each name, f4[T, D] of the empty caption."""
    texts = [caption.format(name) for name in names for caption in CAPTIONS]
    states = torch.from_numpy(encoder.tokens([*texts, ""], TOKENS).state)
    return states[:-1].reshape(len(names), len(CAPTIONS), *states.shape[1:]), states[-1]


def train_denoiser(
    latents: Tensor,  # f2[n, c, s, s]
    labels: np.ndarray,  # i8[n] index into the names of the captions
    captions: Tensor,  # f4[K, V, T, D]
    empty: Tensor,  # f4[T, D]
    recipe: Recipe,
    report: Report = lambda step, loss: None,
    checkpoint: Checkpoint | None = None,
    every: int = 1000,
) -> UNet2DConditionModel:
    """Denoiser with averaged weights. Every class is drawn equally often, whatever its number of images.

    Loss: squared error of v, weighted by min(SNR, 5) / (SNR + 1) (Hang et al. 2023). `checkpoint` is called
    every `every` steps and at the end.
    """
    torch.manual_seed(recipe.seed + 1)
    rng = np.random.default_rng([recipe.seed, 2])
    model = build_denoiser(recipe).train()
    model.set_attn_processor(AttnProcessor())  # on a CPU faster than the fused kernel at this width
    average = copy.deepcopy(model).eval().requires_grad_(False)
    scheduler = build_scheduler()
    signal = scheduler.alphas_cumprod
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.99), weight_decay=0.01
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: _warm_cosine(step, recipe.warm_up, recipe.steps)
    )
    members = [np.flatnonzero(labels == k) for k in np.unique(labels)]
    for step in range(recipe.steps):
        chosen = np.array([rng.choice(members[k]) for k in rng.integers(len(members), size=recipe.batch)])
        x = latents[chosen].float()
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
        schedule.step()
        _average(average, model, min(recipe.averaging, (1 + step) / (10 + step)))
        report(step, float(loss.detach()))
        if checkpoint and ((step + 1) % every == 0 or step + 1 == recipe.steps):
            checkpoint(step + 1, average)
    return average


def save(
    folder: Path, autoencoder: AutoencoderKL, denoiser: UNet2DConditionModel, encoder: TextEncoder
) -> None:
    """Write the pipeline as diffusers does, in half precision, without text tower."""
    pipeline = StableDiffusionPipeline(
        vae=copy.deepcopy(autoencoder).half(),
        text_encoder=None,
        tokenizer=None,
        unet=copy.deepcopy(denoiser).half(),
        scheduler=build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder, safe_serialization=True)
    (Path(folder) / CONDITION).write_text(json.dumps({"text_encoder": encoder.name, "tokens": TOKENS}) + "\n")


def _warm_cosine(step: int, warm_up: int, steps: int) -> float:
    """Learning rate factor: linear rise, then half a cosine down to zero."""
    return min(1.0, (step + 1) / warm_up) * 0.5 * (1 + np.cos(np.pi * step / steps))


def _crops(images: np.ndarray, batch: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """u1[batch, size, size, 3] at random places of random images."""
    chosen = rng.integers(len(images), size=batch)
    row = rng.integers(images.shape[1] - size + 1, size=batch)
    column = rng.integers(images.shape[2] - size + 1, size=batch)
    return np.stack(
        [images[i, r : r + size, c : c + size] for i, r, c in zip(chosen, row, column, strict=True)]
    )


def _pixels(images: np.ndarray) -> Tensor:
    """u1[B, H, W, 3] -> f4[B, 3, H, W] in -1..1, channels last in memory."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1


def _edges(x: Tensor, y: Tensor) -> Tensor:
    """Mean absolute difference of the horizontal and vertical image gradients."""
    return (x.diff(dim=-1) - y.diff(dim=-1)).abs().mean() + (x.diff(dim=-2) - y.diff(dim=-2)).abs().mean()


@torch.no_grad()
def _whiten(model: AutoencoderKL, images: np.ndarray) -> None:
    latents = encode(model, images).float()
    mean, deviation = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    channels = len(mean)
    model.quant_conv.weight[:channels] /= deviation[:, None, None, None]
    model.quant_conv.bias[:channels] = (model.quant_conv.bias[:channels] - mean) / deviation
    weight = model.post_quant_conv.weight
    model.post_quant_conv.bias += torch.einsum("oc,c->o", weight[:, :, 0, 0], mean)
    weight *= deviation[None, :, None, None]


@torch.no_grad()
def _average(average: nn.Module, model: nn.Module, decay: float) -> None:
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)
