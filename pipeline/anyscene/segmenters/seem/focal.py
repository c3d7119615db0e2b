"""FocalNet (Yang et al. 2022), the backbone of SEEM with Focal-L and Focal-T.

A block gathers context around each cell by depthwise convolutions of growing size, and multiplies what the
cell asks for with a gated sum of it. The published Focal-T is of a second kind, with two depthwise
convolutions more in each block and with norms after the sums; no library has that one. Modules have the names
of the parameters in the published files.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

WINDOW = 3  # the side of the smallest convolution; each next one is larger by 2


@dataclass(frozen=True)
class Focal:
    """The sizes of a FocalNet. `width` is that of the first stage; each next one is twice as wide."""

    width: int
    depths: tuple[int, int, int, int]
    levels: int
    depthwise: bool  # whether it is of the second kind


FOCAL_L = Focal(width=192, depths=(2, 2, 18, 2), levels=4, depthwise=False)
FOCAL_T = Focal(width=96, depths=(2, 2, 6, 2), levels=3, depthwise=True)


class FocalNet(nn.Module):
    """An image to maps at strides 4, 8, 16 and 32."""

    def __init__(self, focal: Focal) -> None:
        super().__init__()
        stem = nn.Conv2d(3, focal.width, 7, stride=4, padding=3 if focal.depthwise else 2)
        self.patch_embed = Downsample(stem)
        self.layers = nn.ModuleList(FocalStage(focal, number) for number in range(len(focal.depths)))
        for number in range(len(focal.depths)):
            self.add_module(f"norm{number}", nn.LayerNorm(focal.width << number))

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        """f4[B, 3, H, W], sides multiples of 32 -> f4[B, c, H / s, W / s] for s = 4, 8, 16, 32."""
        x, maps = self.patch_embed(image), []
        for number, stage in enumerate(self.layers):
            found, x = stage(x)
            maps.append(self.get_submodule(f"norm{number}")(found).permute(0, 3, 1, 2))
        return maps


class Downsample(nn.Module):
    """f4[B, c, h, w] to f4[B, h', w', c'] by a convolution."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.proj, self.norm = convolution, nn.LayerNorm(convolution.out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        smaller: torch.Tensor = self.norm(self.proj(x).permute(0, 2, 3, 1))
        return smaller


class FocalStage(nn.Module):
    """Blocks of one width, and what leads to the next width, but for the last."""

    def __init__(self, focal: Focal, number: int) -> None:
        super().__init__()
        width = focal.width << number
        self.blocks = nn.Sequential(*(Block(focal, width) for _ in range(focal.depths[number])))
        self.downsample = None
        if number + 1 < len(focal.depths):
            self.downsample = Downsample(nn.Conv2d(width, 2 * width, 3, stride=2, padding=1))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """f4[B, h, w, c] -> (the same, f4[B, h / 2, w / 2, 2 c]; in the last stage the same twice)."""
        x = self.blocks(x)
        return x, x if self.downsample is None else self.downsample(x.permute(0, 3, 1, 2))


class Block(nn.Module):
    """Focal modulation and a perceptron, each with a scaled shortcut around it."""

    def __init__(self, focal: Focal, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.modulation, self.mlp = Modulation(focal, width), Perceptron(width)
        self.gamma_1, self.gamma_2 = nn.Parameter(torch.ones(width)), nn.Parameter(torch.ones(width))
        self.depthwise = focal.depthwise
        if focal.depthwise:
            self.dw1, self.dw2 = (nn.Conv2d(width, width, 3, padding=1, groups=width) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """f4[B, h, w, c] -> the same."""
        if not self.depthwise:
            x = x + self.gamma_1 * self.norm1(self.modulation(x))
            plain: torch.Tensor = x + self.gamma_2 * self.norm2(self.mlp(x))
            return plain
        x = x + channels_last(self.dw1, x)
        x = self.norm1(x + self.gamma_1 * self.modulation(x))
        x = x + channels_last(self.dw2, x)
        normed: torch.Tensor = self.norm2(x + self.gamma_2 * self.mlp(x))
        return normed


def channels_last(convolution: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """A convolution of f4[B, h, w, c]."""
    found: torch.Tensor = convolution(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    return found


class Modulation(nn.Module):
    """Focal modulation, whose sum over levels is divided by their number."""

    def __init__(self, focal: Focal, width: int) -> None:
        super().__init__()
        self.width, self.levels = width, focal.levels
        self.f = nn.Linear(width, 2 * width + focal.levels + 1)
        self.h, self.proj = nn.Conv2d(width, width, 1), nn.Linear(width, width)
        self.focal_layers = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width, width, side, padding=side // 2, groups=width, bias=False), nn.GELU()
            )
            for side in range(WINDOW, WINDOW + 2 * focal.levels, 2)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """f4[B, h, w, c] -> the same."""
        parts = self.f(x).permute(0, 3, 1, 2).contiguous()
        query, context, gates = parts.split((self.width, self.width, self.levels + 1), 1)
        total = torch.zeros_like(query)
        for level, convolution in enumerate(self.focal_layers):
            context = convolution(context)
            total = total + context * gates[:, level : level + 1]
        everywhere = nn.functional.gelu(context.mean((2, 3), keepdim=True))
        total = (total + everywhere * gates[:, self.levels :]) / (self.levels + 1)
        modulated: torch.Tensor = self.proj((query * self.h(total)).permute(0, 2, 3, 1))
        return modulated


class Perceptron(nn.Module):
    """Two layers, the inner one four times as wide."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """f4[..., c] -> the same."""
        found: torch.Tensor = self.fc2(nn.functional.gelu(self.fc1(x)))
        return found
