"""The decoder of SEEM (Zou et al. 2023) with its object queries alone: each query becomes a mask and a
feature in the space of SEEM's texts.

Points, strokes, phrases and memories, which SEEM also takes, ask for nothing here. As in Mask2Former (Cheng
et al. 2022), a query attends to the cells of the mask that it had before. Modules have the names of the
published files.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from anyscene.segmenters.seem.pixel_decoder import sine_positions
from anyscene.segmenters.seem.text import TextTower

LEVELS = 3  # maps that queries look at in turn


class QueryDecoder(nn.Module):
    """Maps of the pixel decoder to masks and their features."""

    def __init__(
        self, width: int, heads: int, feedforward: int, depth: int, queries: int, text: TextTower
    ) -> None:
        """text: whose parameters lie under this module in the published files."""
        super().__init__()
        self.heads = heads
        layers = range(depth)
        self.transformer_self_attention_layers = nn.ModuleList(SelfAttention(width, heads) for _ in layers)
        self.transformer_cross_attention_layers = nn.ModuleList(CrossAttention(width, heads) for _ in layers)
        self.transformer_ffn_layers = nn.ModuleList(FeedForward(width, feedforward) for _ in layers)
        self.decoder_norm = nn.LayerNorm(width)
        self.query_feat, self.query_embed = nn.Embedding(queries, width), nn.Embedding(queries, width)
        self.level_embed = nn.Embedding(LEVELS, width)
        self.mask_embed = nn.ModuleDict({"layers": nn.ModuleList(nn.Linear(width, width) for _ in range(3))})
        self.class_embed = nn.Parameter(torch.empty(width, text.width))
        self.lang_encoder = text

    def forward(
        self, maps: Sequence[torch.Tensor], features: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Maps f4[B, D, h, w], coarse to fine, and features f4[B, D, h, w] of cells -> (features f4[B, Q, T]
        of masks, the logits f4[B, Q, h, w] of masks)."""
        sources = [
            (x.flatten(2).transpose(1, 2) + level, sine_positions(x), x.shape[2:])
            for x, level in zip(maps, self.level_embed.weight, strict=True)
        ]
        x = self.query_feat.weight.expand(len(features), -1, -1)
        place = self.query_embed.weight
        masks = self._masks(x, features)
        layers = zip(
            self.transformer_cross_attention_layers,
            self.transformer_self_attention_layers,
            self.transformer_ffn_layers,
            strict=True,
        )
        for number, (look, exchange, think) in enumerate(layers):
            source, position, size = sources[number % LEVELS]
            x = look(x, place, source, position, self._elsewhere(masks, size))
            x = think(exchange(x, place))
            masks = self._masks(x, features)
        return self.decoder_norm(x) @ self.class_embed, masks

    def _masks(self, x: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        first, second, last = self.mask_embed.get_submodule("layers").children()
        embedding = last(functional.relu(second(functional.relu(first(self.decoder_norm(x))))))
        return torch.einsum("bqc,bchw->bqhw", embedding, features)

    def _elsewhere(self, masks: torch.Tensor, size: torch.Size) -> torch.Tensor:
        """b1[B * heads, Q, h * w]: the cells to which a query does not attend, for a map of `size`. A query
        without a mask attends to all."""
        outside = functional.interpolate(masks, size=size, mode="bilinear").flatten(2) < 0  # [B, Q, n]
        outside = outside & ~outside.all(2, keepdim=True)
        return outside.repeat_interleave(self.heads, 0)


class SelfAttention(nn.Module):
    """Queries look at each other."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.self_attn, self.norm = nn.MultiheadAttention(width, heads, batch_first=True), nn.LayerNorm(width)

    def forward(self, x: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
        """f4[B, Q, D] and places f4[Q, D] -> f4[B, Q, D]."""
        placed = x + place
        found: torch.Tensor = self.norm(x + self.self_attn(placed, placed, x, need_weights=False)[0])
        return found


class CrossAttention(nn.Module):
    """Queries look at the cells of a map."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.multihead_attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.norm = nn.LayerNorm(width)

    def forward(
        self,
        x: torch.Tensor,
        place: torch.Tensor,
        source: torch.Tensor,
        position: torch.Tensor,
        elsewhere: torch.Tensor,
    ) -> torch.Tensor:
        """Queries f4[B, Q, D] with places f4[Q, D], cells f4[B, n, D] with positions f4[1, n, D] and the
        cells b1[B * heads, Q, n] that are left out -> f4[B, Q, D]."""
        taken, _ = self.multihead_attn(
            x + place, source + position, source, attn_mask=elsewhere, need_weights=False
        )
        found: torch.Tensor = self.norm(x + taken)
        return found


class FeedForward(nn.Module):
    """A perceptron with a shortcut around it."""

    def __init__(self, width: int, feedforward: int) -> None:
        super().__init__()
        self.linear1, self.linear2 = nn.Linear(width, feedforward), nn.Linear(feedforward, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """f4[B, Q, D] -> the same."""
        found: torch.Tensor = self.norm(x + self.linear2(functional.relu(self.linear1(x))))
        return found
