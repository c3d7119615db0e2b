"""TAP's image encoder: a vision transformer whose attention stays inside windows. Four times, at a quarter of
its depth, convolutions carry what is seen from window to window (Pan et al. 2024, section 3.4). Modules have
the names of the published files."""

from __future__ import annotations

from functools import cache

import torch
from timm.layers.mlp import Mlp
from torch import nn
from torch.nn import functional

CROSSINGS = 4  # how often what is seen goes from window to window


class ImageEncoder(nn.Module):
    """Images f4[B, 3, S, S] to maps f4[B, D, S / patch, S / patch]."""

    def __init__(
        self, image: int, patch: int, window: int, width: int, depth: int, heads: int, out: int
    ) -> None:
        """image: S. window: the side of a window, in patches. width: of the blocks. out: D."""
        super().__init__()
        self.window = window
        self.patch_embed = Patches(patch, width)
        self.pos_embed = Positions((image // patch) ** 2, width)
        self.blocks = nn.ModuleList(WindowBlock(width, heads, window) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.cross_conv = nn.ModuleList(Crossing(width) for _ in range(CROSSINGS))
        self.neck = Neck(width, out)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.patch_embed(images)  # [B, D, h, w]
        x = x + self.pos_embed.weight.T.reshape(x.shape[1:])
        group = len(self.blocks) // CROSSINGS
        for number, crossing in enumerate(self.cross_conv):
            size = x.shape
            x = windows(x, self.window)
            for block in self.blocks[number * group : (number + 1) * group]:
                x = block(x)
            if number == CROSSINGS - 1:
                x = self.norm(x)
            x = crossing(whole(x, size, self.window))
        found: torch.Tensor = self.neck(x)
        return found


class Patches(nn.Module):
    """Patches to vectors."""

    def __init__(self, patch: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, patch, patch)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        vectors: torch.Tensor = self.proj(x)
        return vectors


class Positions(nn.Module):
    """What each patch of an image has added, row by row."""

    def __init__(self, patches: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(patches, width))


class WindowBlock(nn.Module):
    """A transformer block over the patches of a window."""

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = WindowAttention(width, heads, window)
        self.mlp = Mlp(width, 4 * width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attn(self.norm1(x))
        x = x + self.mlp(self.norm2(x))
        return x


class WindowAttention(nn.Module):
    """Attention with a bias for each offset between two patches of a window."""

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.rel_pos_embed = Offsets(heads, window)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        count, patches, width = x.shape
        query, key, value = self.qkv(x).view(count, patches, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        bias = self.rel_pos_embed.weight[:, offsets(self.window).to(x.device)].to(query.dtype)
        seen = functional.scaled_dot_product_attention(query, key, value, bias)
        found: torch.Tensor = self.proj(seen.transpose(1, 2).reshape(count, patches, width))
        return found


class Offsets(nn.Module):
    """The bias of each head for each offset."""

    def __init__(self, heads: int, window: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(heads, (2 * window - 1) ** 2))


class Crossing(nn.Module):
    """Convolutions over the whole map, beside it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = width // 2
        self.conv1, self.norm1 = nn.Conv2d(width, inner, 1, bias=False), nn.BatchNorm2d(inner)
        self.conv2, self.norm2 = nn.Conv2d(inner, inner, 3, padding=1, bias=False), nn.BatchNorm2d(inner)
        self.conv3, self.norm3 = nn.Conv2d(inner, width, 1, bias=False), nn.BatchNorm2d(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = functional.gelu(self.norm1(self.conv1(x)))
        inner = functional.gelu(self.norm2(self.conv2(inner)))
        found: torch.Tensor = x + self.norm3(self.conv3(inner))
        return found


class Neck(nn.Module):
    """Maps as wide as the blocks to those of the decoder. The published networks have one level."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        lateral = nn.Sequential(nn.Conv2d(width, out, 1, bias=False), nn.BatchNorm2d(out))
        output = nn.Sequential(nn.Conv2d(out, out, 3, padding=1, bias=False), nn.BatchNorm2d(out))
        self.lateral_conv, self.output_conv = nn.ModuleList([lateral]), nn.ModuleList([output])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.output_conv[0](self.lateral_conv[0](x))
        return found


def windows(x: torch.Tensor, side: int) -> torch.Tensor:
    """f4[B * n, side * side, D]: the n windows of each map of f4[B, D, h, w]."""
    batch, width, height, length = x.shape
    x = x.view(batch, width, height // side, side, length // side, side)
    return x.permute(0, 2, 4, 3, 5, 1).reshape(-1, side * side, width)


def whole(x: torch.Tensor, size: tuple[int, ...], side: int) -> torch.Tensor:
    """The maps of that `size` from their windows: what `windows` does, undone."""
    batch, width, height, length = size
    x = x.view(batch, height // side, length // side, side, side, width)
    return x.permute(0, 5, 1, 3, 2, 4).reshape(size)


@cache
def offsets(side: int) -> torch.Tensor:
    """i8[n, n]: the number of the offset between each two of the n patches of a window, by rows first."""
    place = torch.arange(side * side)
    row, column = place // side, place % side
    down, right = (one[:, None] - one[None] + side - 1 for one in (row, column))
    return down * (2 * side - 1) + right
