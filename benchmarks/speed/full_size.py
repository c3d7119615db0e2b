"""Stable Diffusion pipelines with random weights, in the layout of the published ones.

They cost what the published ones cost. The configurations are those of the published files: the config.json
of unet, vae and text_encoder, and scheduler_config.json, of stable-diffusion-v1-5/stable-diffusion-v1-5 and
stabilityai/stable-diffusion-xl-base-1.0 on the Hugging Face hub.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from open_clip.tokenizer import SimpleTokenizer
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

START, END = "<|startoftext|>", "<|endoftext|>"
BLOCK = 1 << 20
BETAS = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "steps_offset": 1,
}
SPECIAL = {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}
CLIP_L = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "projection_dim": 768,
    "hidden_act": "quick_gelu",
    **SPECIAL,
}
VAE = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
    "norm_num_groups": 32,
}


@dataclass(frozen=True)
class DiffusionArchitecture:
    """A pipeline: its class, the configurations of its networks, and its scheduler's class and settings."""

    pipeline: str
    unet: Mapping[str, Any]
    vae: Mapping[str, Any]
    text: tuple[Mapping[str, Any], ...]
    scheduler: str
    schedule: Mapping[str, Any] = field(default_factory=dict)

    @property
    def parts(self) -> dict[str, type[nn.Module]]:
        """The classes of the networks, by the names of their folders."""
        text = {"text_encoder": CLIPTextModel, "text_encoder_2": CLIPTextModelWithProjection}
        towers = dict(list(text.items())[: len(self.text)])
        return {"unet": UNet2DConditionModel, "vae": AutoencoderKL, **towers}

    def build(self, part: str) -> nn.Module:
        """One network, with the initial values of its class."""
        kind = self.parts[part]
        if part.startswith("text"):
            return kind(CLIPTextConfig(**self.text[part == "text_encoder_2"]))
        return kind(**(self.unet if part == "unet" else self.vae))


STABLE_DIFFUSION_15 = DiffusionArchitecture(
    "StableDiffusionPipeline",
    unet={
        "sample_size": 64,
        "block_out_channels": (320, 640, 1280, 1280),
        "down_block_types": (*("CrossAttnDownBlock2D",) * 3, "DownBlock2D"),
        "up_block_types": ("UpBlock2D", *("CrossAttnUpBlock2D",) * 3),
        "layers_per_block": 2,
        "attention_head_dim": 8,
        "cross_attention_dim": 768,
    },
    vae=VAE | {"sample_size": 512, "scaling_factor": 0.18215},
    text=(CLIP_L,),
    scheduler="PNDMScheduler",
    schedule=BETAS | {"skip_prk_steps": True, "set_alpha_to_one": False},
)
STABLE_DIFFUSION_XL = DiffusionArchitecture(
    "StableDiffusionXLPipeline",
    unet={
        "sample_size": 128,
        "block_out_channels": (320, 640, 1280),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "layers_per_block": 2,
        "transformer_layers_per_block": (1, 2, 10),
        "attention_head_dim": (5, 10, 20),
        "cross_attention_dim": 2048,
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
    },
    vae=VAE | {"sample_size": 1024, "scaling_factor": 0.13025, "force_upcast": True},
    text=(
        CLIP_L,
        {
            "hidden_size": 1280,
            "intermediate_size": 5120,
            "num_hidden_layers": 32,
            "num_attention_heads": 20,
            "projection_dim": 1280,
            "hidden_act": "gelu",
            **SPECIAL,
        },
    ),
    scheduler="EulerDiscreteScheduler",
    schedule=BETAS | {"timestep_spacing": "leading"},
)
# the authors count 860 M and 2.6 B parameters in the denoisers (Podell et al. 2023, table 1)
PARAMETERS = {
    "sd15": {"unet": 859_520_964, "vae": 83_653_863, "text_encoder": 123_060_480},
    "sdxl": {
        "unet": 2_567_463_684,
        "vae": 83_653_863,
        "text_encoder": 123_060_480,
        "text_encoder_2": 694_659_840,
    },
}
ARCHITECTURES = {"sd15": STABLE_DIFFUSION_15, "sdxl": STABLE_DIFFUSION_XL}


def write(folder: Path, architecture: DiffusionArchitecture, dtype: torch.dtype = torch.float32) -> Path:
    """Write a pipeline with random weights in `dtype` into `folder`. One network is in memory at a time."""
    index: dict[str, Any] = {"_class_name": architecture.pipeline}
    for part, kind in architecture.parts.items():
        with torch.device("meta"):
            network = architecture.build(part)
        network.to(dtype).to_empty(device="cpu")
        randomise(network)
        network.save_pretrained(folder / part)
        index[part] = ["transformers" if part.startswith("text") else "diffusers", kind.__name__]
    for number in range(len(architecture.text)):
        part = "tokenizer" if number == 0 else "tokenizer_2"
        write_tokenizer(folder / part, pad=END if number == 0 else "!")
        index[part] = ["transformers", "CLIPTokenizer"]
    getattr(diffusers, architecture.scheduler)(**architecture.schedule).save_pretrained(folder / "scheduler")
    index["scheduler"] = ["diffusers", architecture.scheduler]
    (folder / "model_index.json").write_text(json.dumps(index, indent=2))
    return folder


@torch.no_grad()
def randomise(network: nn.Module) -> None:
    """Fill what `to_empty` left empty: weights keep the size of what passes, and norms change nothing.

    A block of random numbers is repeated, because it would take a minute to draw them all for SDXL.
    """
    block = torch.randn(BLOCK, generator=torch.Generator().manual_seed(0))
    for name, value in network.named_parameters():
        if value.ndim < 2:
            value.fill_(float(name.endswith("weight")))
            continue
        scaled = (block / value[0].numel() ** 0.5).to(value.dtype)
        flat = value.view(-1)
        for start in range(0, len(flat), BLOCK):
            flat[start : start + BLOCK] = scaled[: len(flat) - start]
    for name, value in network.named_buffers():  # of CLIP: places 0, 1, 2, ...
        value.copy_(torch.arange(value.shape[-1]).expand_as(value))
        assert name.endswith("position_ids"), name


def write_tokenizer(folder: Path, pad: str = END) -> Path:
    """Write CLIP's byte pairs, whose table open_clip brings, into the files that published pipelines have."""
    table = SimpleTokenizer()
    start, end = table.all_special_ids
    vocabulary = table.encoder.copy()
    for name in [name for name, place in vocabulary.items() if place in (start, end)]:
        del vocabulary[name]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary | {START: start, END: end}))
    merges = sorted(table.bpe_ranks, key=table.bpe_ranks.__getitem__)
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *map(" ".join, merges), ""]))
    settings = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": 77,
        "bos_token": START,
        "eos_token": END,
        "unk_token": END,
        "pad_token": pad,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder
