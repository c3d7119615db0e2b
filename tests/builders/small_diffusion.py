"""Stable Diffusion 1.5 and XL in small, in folders as the published ones come in."""

import dataclasses

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file, save_file

from benchmarks.speed import full_size

TEXT = {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16, **full_size.SPECIAL}
FIRST = TEXT | {"hidden_size": 12, "hidden_act": "quick_gelu"}
SECOND = TEXT | {"hidden_size": 16, "projection_dim": 20}
VAE = {
    "block_out_channels": (8, 8),
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "latent_channels": 4,
    "norm_num_groups": 4,
}
UNET = {
    "sample_size": 16,
    "block_out_channels": (8, 16, 16),
    "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    "layers_per_block": 1,
    "attention_head_dim": 2,
    "cross_attention_dim": 12,
    "norm_num_groups": 4,
}
UNET_XL = UNET | {
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 1, 2),
    "attention_head_dim": (1, 2, 4),
    "cross_attention_dim": 28,  # the states of both text towers, side by side
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 6 * 8 + 20,
}
KINDS = {
    "sd": dataclasses.replace(full_size.STABLE_DIFFUSION_15, unet=UNET, vae=VAE, text=(FIRST,)),
    "sdxl": dataclasses.replace(full_size.STABLE_DIFFUSION_XL, unet=UNET_XL, vae=VAE, text=(FIRST, SECOND)),
}


def unet(kind="sd", **changes):
    torch.manual_seed(0)
    return UNet2DConditionModel(**{**KINDS[kind].unet, **changes}).eval()


def vae():
    torch.manual_seed(0)
    return AutoencoderKL(**VAE).eval()


def write(kind, folder):
    """`folder`, with a pipeline whose words differ enough to be looked at in different places."""
    full_size.write(folder, KINDS[kind])
    for file in folder.glob("text_encoder*/model.safetensors"):
        state = load_file(file)
        state = {name: 8 * value if "token_embedding" in name else value for name, value in state.items()}
        save_file(state, file, {"format": "pt"})
    return folder
