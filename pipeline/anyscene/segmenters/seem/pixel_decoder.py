"""The pixel decoder of SEEM: a feature pyramid (Lin et al. 2017) whose coarsest map first goes through a
transformer encoder, as in MaskFormer (Cheng et al. 2021). Modules have the names of the published files."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

GROUPS = 32  # of GroupNorm


class PixelDecoder(nn.Module):
    """Four maps of a backbone to three of one width, coarse to fine, and to the features of masks."""

    def __init__(self, channels: Sequence[int], width: int, heads: int, feedforward: int, depth: int) -> None:
        """channels: of the maps at strides 4, 8, 16, 32. depth: layers of the transformer encoder."""
        super().__init__()
        self.input_proj = nn.Conv2d(channels[-1], width, 1)
        self.transformer = nn.ModuleDict(
            {"encoder": nn.ModuleDict({"layers": _layers(width, heads, feedforward, depth)})}
        )
        for level, count in enumerate(channels[:-1], 1):
            self.add_module(f"adapter_{level}", NormedConv(count, width, 1))
        for level in range(1, len(channels) + 1):
            self.add_module(f"layer_{level}", NormedConv(width, width, 3, padding=1))
        self.mask_features = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, maps: Sequence[torch.Tensor]) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Maps at strides 4, 8, 16, 32 -> (maps f4[B, D, h, w] at strides 32, 16, 8, features f4[B, D, h, w]
        at stride 4)."""
        coarse = self.input_proj(maps[-1])
        rows, columns = coarse.shape[2:]
        tokens, position = coarse.flatten(2).transpose(1, 2), sine_positions(coarse)
        for layer in self.transformer.get_submodule("encoder.layers").children():
            tokens = layer(tokens, position)
        coarse = tokens.transpose(1, 2).unflatten(2, (rows, columns))
        found = [self._smooth(len(maps), coarse)]
        for level in range(len(maps) - 1, 0, -1):
            finer = self.get_submodule(f"adapter_{level}")(maps[level - 1])
            enlarged = functional.interpolate(found[-1], size=finer.shape[2:], mode="nearest")
            found.append(self._smooth(level, finer + enlarged))
        return found[:3], self.mask_features(found[-1])

    def _smooth(self, level: int, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.get_submodule(f"layer_{level}")(x))


class NormedConv(nn.Conv2d):
    """A convolution without bias, and a GroupNorm."""

    def __init__(self, inner: int, outer: int, side: int, padding: int = 0) -> None:
        super().__init__(inner, outer, side, padding=padding, bias=False)
        self.norm = nn.GroupNorm(GROUPS, outer)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        normed: torch.Tensor = self.norm(super().forward(input))
        return normed


class EncoderLayer(nn.Module):
    """A layer of a transformer with the norms after the sums. Positions are added to what is asked for and to
    what answers, and not to what is taken over (DETR, Carion et al. 2020)."""

    def __init__(self, width: int, heads: int, feedforward: int) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.linear1, self.linear2 = nn.Linear(width, feedforward), nn.Linear(feedforward, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
        """f4[B, n, D], f4[B or 1, n, D] -> f4[B, n, D]."""
        placed = x + position
        x = self.norm1(x + self.self_attn(placed, placed, x, need_weights=False)[0])
        found: torch.Tensor = self.norm2(x + self.linear2(functional.relu(self.linear1(x))))
        return found


def _layers(width: int, heads: int, feedforward: int, depth: int) -> nn.ModuleList:
    return nn.ModuleList(EncoderLayer(width, heads, feedforward) for _ in range(depth))


def sine_positions(x: torch.Tensor) -> torch.Tensor:
    """f4[1, h * w, D]: for each cell of a map f4[B, D, h, w], sines and cosines of its row, then of its
    column (DETR, section A.4). Rows and columns are counted from 1 and scaled to 2 pi."""
    half, kind = x.shape[1] // 2, torch.promote_types(x.dtype, torch.float32)
    step = torch.arange(0, half, 2, dtype=kind, device=x.device) / half
    period = 10000.0**step  # [half / 2]

    def waves(length: int) -> torch.Tensor:
        place = torch.arange(1, length + 1, dtype=kind, device=x.device)
        angle = (place / (length + 1e-6) * 2 * math.pi)[:, None] / period
        return torch.stack((angle.sin(), angle.cos()), 2).flatten(1)  # [length, half]

    rows, columns = x.shape[2:]
    row = waves(rows)[:, None].expand(rows, columns, half)
    column = waves(columns).expand(rows, columns, half)
    return torch.cat((row, column), 2).flatten(0, 1)[None]
