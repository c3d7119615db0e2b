"""The dense prediction transformer (DPT, Ranftl et al. 2021) over timm's ViT, as LSeg (Li et al. 2022) uses
it.

The content of the class token is mixed into every other token ("readout"). Then four layers of the ViT are
put back on pixel grids of strides 4, 8, 16 and 32 ("reassemble") and fused from coarse to fine; the last map
has stride 2. Modules have the names of the parameters in published checkpoints, which is why some are
numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import timm
import torch
from torch import nn
from torch.nn import functional


@dataclass(frozen=True)
class Architecture:
    """The sizes of the network. The defaults are LSeg's with ViT-L/16-384; smaller ones serve tests."""

    side: int = 384  # pixels of the square images that the position embedding is for
    width: int = 1024  # of the ViT
    depth: int = 24  # blocks of the ViT
    heads: int = 16  # of the ViT
    taken: tuple[int, int, int, int] = (5, 11, 17, 23)  # blocks whose output is used
    reassembled: tuple[int, int, int, int] = (256, 512, 1024, 1024)  # channels at strides 4, 8, 16, 32
    fused: int = 256  # channels of the decoder
    out: int = 512  # C


class DensePredictor(nn.Module):
    """A network from an image to C features for each cell of stride 2."""

    def __init__(self, architecture: Architecture = Architecture()) -> None:
        super().__init__()
        self.pretrained = Encoder(architecture)
        self.scratch = Decoder(architecture)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """f4[B, 3, h, w] in -1..1 -> f4[B, C, h/2, w/2]. The sides must be multiples of 32, because the
        coarsest map halves the grid of patches and is doubled again."""
        feature: torch.Tensor = self.scratch(self.pretrained(image))
        return feature


class Encoder(nn.Module):
    """The ViT and its layers on pixel grids."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        # the classifier and the last norm are not used, but published checkpoints hold them
        self.model: Any = timm.create_model(
            "vit_large_patch16_384",
            pretrained=False,
            img_size=architecture.side,
            embed_dim=architecture.width,
            depth=architecture.depth,
            num_heads=architecture.heads,
        )
        self.taken = architecture.taken
        width, (first, second, third, fourth) = architecture.width, architecture.reassembled
        self.act_postprocess1 = Reassemble(width, first, nn.ConvTranspose2d(first, first, 4, stride=4))
        self.act_postprocess2 = Reassemble(width, second, nn.ConvTranspose2d(second, second, 2, stride=2))
        self.act_postprocess3 = Reassemble(width, third)
        self.act_postprocess4 = Reassemble(width, fourth, nn.Conv2d(fourth, fourth, 3, stride=2, padding=1))

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """f4[B, 3, h, w] -> maps at strides 4, 8, 16, 32."""
        patches = self.model.patch_embed.proj(image)  # [B, width, h/16, w/16]
        grid = patches.shape[2:]
        x = patches.flatten(2).transpose(1, 2)
        x = torch.cat([self.model.cls_token.expand(len(x), -1, -1), x], 1)  # [B, 1 + cells, width]
        x = x + positions(self.model.pos_embed, *grid)
        layers = []
        for number, block in enumerate(self.model.blocks):
            x = block(x)
            if number in self.taken:
                layers.append(x)
        return tuple(
            reassemble(layer, *grid)
            for reassemble, layer in zip(
                (self.act_postprocess1, self.act_postprocess2, self.act_postprocess3, self.act_postprocess4),
                layers,
                strict=True,
            )
        )


def positions(embedding: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """The position embedding f4[1, 1 + n * n, D] (class token first) for a grid of rows x columns.

    It is resized bilinearly, as DPT was trained. timm would resize it bicubically with antialiasing, which
    moves features by far more than rounding does.
    """
    token, grid = embedding[:, :1], embedding[:, 1:]
    side = math.isqrt(grid.shape[1])
    grid = grid.reshape(1, side, side, -1).permute(0, 3, 1, 2)
    grid = functional.interpolate(grid, size=(rows, columns), mode="bilinear", align_corners=False)
    return torch.cat([token, grid.flatten(2).transpose(1, 2)], 1)


class Reassemble(nn.ModuleDict):
    """From tokens to a map. The keys are those of the published checkpoints."""

    def __init__(self, width: int, channels: int, resample: nn.Module | None = None) -> None:
        super().__init__({"0": Readout(width), "3": nn.Conv2d(width, channels, 1)})
        if resample is not None:
            self["4"] = resample

    def forward(self, tokens: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
        """f4[B, 1 + rows * columns, D] -> f4[B, channels, rows', columns'] at the layer's stride."""
        x = self["0"](tokens).transpose(1, 2).unflatten(2, (rows, columns))
        x = self["3"](x)
        grid: torch.Tensor = self["4"](x) if "4" in self else x
        return grid


class Readout(nn.Module):
    """Mixes the class token into every other token."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project = nn.Sequential(nn.Linear(2 * width, width), nn.GELU())

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """f4[B, 1 + n, D] -> f4[B, n, D]."""
        rest = tokens[:, 1:]
        mixed: torch.Tensor = self.project(torch.cat([rest, tokens[:, :1].expand_as(rest)], 2))
        return mixed


class Decoder(nn.Module):
    """Fuses four maps from coarse to fine."""

    layer1_rn: nn.Conv2d
    layer2_rn: nn.Conv2d
    layer3_rn: nn.Conv2d
    layer4_rn: nn.Conv2d
    refinenet1: FeatureFusionBlock
    refinenet2: FeatureFusionBlock
    refinenet3: FeatureFusionBlock
    refinenet4: FeatureFusionBlock

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        for level, channels in enumerate(architecture.reassembled, 1):
            setattr(
                self, f"layer{level}_rn", nn.Conv2d(channels, architecture.fused, 3, padding=1, bias=False)
            )
            setattr(self, f"refinenet{level}", FeatureFusionBlock(architecture.fused))
        self.head1 = nn.Conv2d(architecture.fused, architecture.out, 1)

    def forward(self, maps: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """Maps at strides 4, 8, 16, 32 -> f4[B, out, h, w] at stride 2."""
        x = self.refinenet4(self.layer4_rn(maps[3]))
        x = self.refinenet3(x + self.refinenet3.resConfUnit1(self.layer3_rn(maps[2])))
        x = self.refinenet2(x + self.refinenet2.resConfUnit1(self.layer2_rn(maps[1])))
        x = self.refinenet1(x + self.refinenet1.resConfUnit1(self.layer1_rn(maps[0])))
        feature: torch.Tensor = self.head1(x)
        return feature


class FeatureFusionBlock(nn.Module):
    """Refines a map and doubles its size. `resConfUnit1` is for the finer map that is added before; the
    coarsest level does not use it, though published checkpoints hold it there too."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.resConfUnit1 = ResidualUnit(channels)
        self.resConfUnit2 = ResidualUnit(channels)
        self.out_conv = nn.Conv2d(channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """f4[B, c, h, w] -> f4[B, c, 2h, 2w]."""
        x = self.resConfUnit2(x)
        x = functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
        doubled: torch.Tensor = self.out_conv(x)
        return doubled


class ResidualUnit(nn.Module):
    """Two 3x3 convolutions with batch norm and a ReLU before each. The input is added unchanged."""

    conv1: nn.Conv2d
    conv2: nn.Conv2d
    bn1: nn.BatchNorm2d
    bn2: nn.BatchNorm2d

    def __init__(self, channels: int) -> None:
        super().__init__()
        for number in (1, 2):
            setattr(self, f"conv{number}", nn.Conv2d(channels, channels, 3, padding=1, bias=False))
            setattr(self, f"bn{number}", nn.BatchNorm2d(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn1(self.conv1(functional.relu(x)))
        change: torch.Tensor = self.bn2(self.conv2(functional.relu(y)))
        return x + change
