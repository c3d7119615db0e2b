"""TAP's image decoder: of each prompt, masks with the IoU that is expected of them, and tokens that say what
is there. It is SAM's decoder with more tokens. Modules have the names of the published files."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from timm.layers.mlp import Mlp
from timm.layers.norm import LayerNorm2d
from torch import nn
from torch.nn import functional

MASKS = 4  # masks of a prompt: the first is the best for boxes, the others are for points


@dataclass(frozen=True)
class Regions:
    """What the decoder says of N prompts."""

    iou: torch.Tensor  # f4[N, MASKS], what is expected of each mask
    meaning: torch.Tensor  # f4[N, MASKS, D], the token of each mask from which a text is decoded
    outline: torch.Tensor  # f4[N, MASKS, D], the token of each mask from which it is drawn
    image: torch.Tensor  # f4[N, cells, D], the image as each prompt sees it


class ImageDecoder(nn.Module):
    """Tokens of an image's regions."""

    def __init__(self, width: int, heads: int, feedforward: int, depth: int, concepts: int) -> None:
        """width: D. concepts: the width of CLIP's space, in which regions are compared with names."""
        super().__init__()
        self.transformer = TwoWay(width, heads, feedforward, depth)
        self.iou_token = nn.Embedding(1, width)
        self.sem_tokens, self.mask_tokens = nn.Embedding(MASKS, width), nn.Embedding(MASKS, width)
        self.output_conv = nn.Sequential(
            nn.ConvTranspose2d(width, width // 4, 2, 2),
            LayerNorm2d(width // 4, eps=1e-5),
            nn.GELU(),
            nn.ConvTranspose2d(width // 4, width // 8, 2, 2),
            nn.GELU(),
        )
        self.mask_pred = nn.ModuleList(Predictor(width, width, width // 8) for _ in range(MASKS))
        self.iou_pred = Predictor(width, width, MASKS)
        self.sem_pred = Predictor(width, concepts, concepts)

    def forward(self, image: torch.Tensor, place: torch.Tensor, prompts: torch.Tensor) -> Regions:
        """The regions of prompts f4[N, P, D] in an image f4[cells, D], whose cells lie at place f4[cells, D]
        (PromptEncoder.grid)."""
        tokens = torch.cat([self.sem_tokens.weight, self.iou_token.weight, self.mask_tokens.weight])
        query = torch.cat([tokens.expand(len(prompts), -1, -1), prompts], 1)
        query, seen = self.transformer(query, image.expand(len(prompts), -1, -1), place)
        meaning, iou, outline, _ = query.split([MASKS, 1, MASKS, prompts.shape[1]], 1)
        return Regions(self.iou_pred(iou[:, 0]).float(), meaning, outline, seen)

    def masks(self, regions: Regions, size: tuple[int, int]) -> torch.Tensor:
        """The logits f4[N, MASKS, 4 * h, 4 * w] of the masks, of an image of h x w = `size` cells. Captions
        do without them."""
        cells = regions.image.transpose(1, 2).unflatten(2, size)
        pixels = self.output_conv(cells)
        kernels = [
            predict(token) for predict, token in zip(self.mask_pred, regions.outline.unbind(1), strict=True)
        ]
        found: torch.Tensor = torch.einsum("nmc,nchw->nmhw", torch.stack(kernels, 1), pixels)
        return found

    def concepts(self, regions: Regions) -> torch.Tensor:
        """f4[N, MASKS, C]: the concept of each mask in CLIP's space, not of length 1. Captions do without
        them."""
        found: torch.Tensor = self.sem_pred(regions.meaning)
        return found


class TwoWay(nn.Module):
    """Tokens and the image look at each other."""

    def __init__(self, width: int, heads: int, feedforward: int, depth: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            TwoWayBlock(width, heads, feedforward, not number) for number in range(depth)
        )
        self.final_attn_token_to_image = TwoWayAttention(width, heads, width // 2)
        self.norm = nn.LayerNorm(width)

    def forward(
        self, tokens: torch.Tensor, image: torch.Tensor, place: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokens f4[N, T, D] and images f4[N, cells, D] with their places f4[cells, D] -> both, after they
        have looked. The tokens' places are what they are at first."""
        query, key = tokens, image
        for block in self.blocks:
            query, key = block(query, key, tokens, place)
        query = self.norm(query + self.final_attn_token_to_image(query + tokens, key + place, key))
        return query, key


class TwoWayBlock(nn.Module):
    """Tokens look at each other and at the image, and the image at them."""

    def __init__(self, width: int, heads: int, feedforward: int, first: bool) -> None:
        super().__init__()
        self.first = first
        self.self_attn = TwoWayAttention(width, heads, width)
        self.cross_attn_token_to_image = TwoWayAttention(width, heads, width // 2)
        self.mlp = Mlp(width, feedforward, act_layer=nn.ReLU)
        self.cross_attn_image_to_token = TwoWayAttention(width, heads, width // 2)
        self.norm1, self.norm2, self.norm3, self.norm4 = (nn.LayerNorm(width) for _ in range(4))

    def forward(
        self, query: torch.Tensor, key: torch.Tensor, query_place: torch.Tensor, key_place: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if self.first:  # the tokens are their places
            query = self.norm1(self.self_attn(query, query, query))
        else:
            placed = query + query_place
            query = self.norm1(query + self.self_attn(placed, placed, query))
        placed_key = key + key_place
        query = self.norm2(query + self.cross_attn_token_to_image(query + query_place, placed_key, key))
        query = self.norm3(query + self.mlp(query))
        key = self.norm4(key + self.cross_attn_image_to_token(placed_key, query + query_place, query))
        return query, key


class TwoWayAttention(nn.Module):
    """Attention with heads that may be narrower than the tokens."""

    def __init__(self, width: int, heads: int, inner: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(width, inner) for _ in range(3))
        self.proj = nn.Linear(inner, width)

    def forward(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        parts = (self.q_proj(query), self.k_proj(key), self.v_proj(value))
        query, key, value = (one.unflatten(2, (self.heads, -1)).transpose(1, 2) for one in parts)
        seen = functional.scaled_dot_product_attention(query, key, value)
        found: torch.Tensor = self.proj(seen.transpose(1, 2).flatten(2))
        return found


class Predictor(nn.Module):
    """Three layers."""

    def __init__(self, width: int, inner: int, out: int) -> None:
        super().__init__()
        sizes = ((width, inner), (inner, inner), (inner, out))
        self.layers = nn.ModuleList(nn.Linear(*size) for size in sizes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers[:-1]:
            x = layer(x).relu()
        found: torch.Tensor = self.layers[-1](x)
        return found
