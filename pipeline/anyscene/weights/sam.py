"""SAM (Kirillov et al. 2023) as segment-anything builds it: published checkpoints, and small ones of ours."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from segment_anything import sam_model_registry
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from torch import nn

from anyscene.errors import WeightsError
from anyscene.project import digests
from anyscene.weights import catalogue, fitting, reading

ARCHITECTURE, WEIGHTS = "sam.json", "model.safetensors"  # of ours
SOURCE = catalogue.get("sam_vit_h").source


def read(file: Path) -> Sam:
    """SAM for inference, from a published checkpoint sam_vit_{b,l,h}*.pth. Raises WeightsError where it is
    missing, truncated, not what was published, of another architecture, or holds more than tensors."""
    kind = next((kind for kind in catalogue.SAM_KINDS if kind in file.name), None)
    if kind is None:
        raise WeightsError(f"{file}: the name of a SAM checkpoint holds vit_h, vit_l or vit_b")
    state = reading.read(file, SOURCE)
    return _filled(sam_model_registry[kind](), state, file)


def read_own(folder: Path) -> Sam:
    """SAM for inference, from ARCHITECTURE and WEIGHTS in `folder`. Raises WeightsError where one is missing,
    damaged or not what SHA256SUMS notes, or they do not belong together."""
    try:
        reading.intact(folder / WEIGHTS, digests.content_hash)
        state = load_file(folder / WEIGHTS)
        network = build_sam(**json.loads((folder / ARCHITECTURE).read_text(encoding="utf-8")))
    except WeightsError:
        raise
    except Exception as error:  # json and safetensors raise many kinds for broken files
        raise WeightsError(f"{folder}: cannot load SAM from here: {error}") from error
    return _filled(network, state, folder)


def _filled(network: Sam, state: Mapping[str, torch.Tensor], path: Path) -> Sam:
    own = {name: value.shape for name, value in network.state_dict().items()}
    found = {name: value.shape for name, value in state.items()}
    if odd := sorted(name for name in own.keys() | found.keys() if own.get(name) != found.get(name)):
        raise WeightsError(
            f"{path}: weights of another architecture: {odd[0]} is {found.get(odd[0], 'missing')}, wanted "
            f"{own.get(odd[0], 'nothing')}, with {len(odd) - 1} more such; get it again from {SOURCE}"
        )
    if odd_one := fitting.without_numbers(state):
        raise WeightsError(
            f"{path}: damaged, {odd_one} has values that are no numbers; get it again from {SOURCE}"
        )
    network.load_state_dict(state)
    return network.eval().requires_grad_(False)


class Stem(nn.Module):
    """Patch embeddings [B, S / patch, S / patch, width] of images [B, 3, S, S], by convolutions of stride
    2."""

    def __init__(self, patch: int, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for halving in reversed(range(patch.bit_length() - 1)):
            inner = width >> halving
            layers += [nn.Conv2d(channels, inner, 3, 2, 1), nn.GroupNorm(4, inner), nn.GELU()]
            channels = inner
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels, width, 3, padding=1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        embedded: torch.Tensor = self.layers(x)
        return embedded.permute(0, 2, 3, 1)


def build_sam(
    *,
    image_size: int,
    patch: int,
    width: int,
    depth: int,
    heads: int,
    prompt_width: int,
    pixel_mean: tuple[float, float, float],
    pixel_std: tuple[float, float, float],
    **unknown: Any,
) -> Sam:
    """segment-anything's Sam in any size, with random weights.

    Its vision transformer begins with convolutions of 3 x 3 pixels instead of one of a whole patch: with
    little training data these learn edges much sooner (Xiao et al. 2021).
    """
    if unknown:
        raise WeightsError(f"{ARCHITECTURE}: unknown key {sorted(unknown)[0]}")
    grid = image_size // patch
    encoder = ImageEncoderViT(
        img_size=image_size,
        patch_size=patch,
        embed_dim=width,
        depth=depth,
        num_heads=heads,
        out_chans=prompt_width,
        use_rel_pos=True,
        norm_layer=functools.partial(torch.nn.LayerNorm, eps=1e-6),
    )
    encoder.patch_embed = Stem(patch, width)
    return Sam(
        image_encoder=encoder,
        prompt_encoder=PromptEncoder(
            embed_dim=prompt_width,
            image_embedding_size=(grid, grid),
            input_image_size=(image_size, image_size),
            mask_in_chans=16,
        ),
        mask_decoder=MaskDecoder(
            transformer=TwoWayTransformer(
                depth=2, embedding_dim=prompt_width, mlp_dim=2 * prompt_width, num_heads=4
            ),
            transformer_dim=prompt_width,
            iou_head_hidden_dim=prompt_width,
        ),
        pixel_mean=list(pixel_mean),
        pixel_std=list(pixel_std),
    )
