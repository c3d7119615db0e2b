"""The image encoder of both demo segmenters: EfficientNet-Lite0 (Tan & Le 2019) and a top-down pyramid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import timm
import torch
from timm.models._efficientnet_blocks import DepthwiseSeparableConv
from torch import nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from anyscene.arrays import U1

CHANNELS = (24, 40, 112, 320)  # of the maps at strides 4, 8, 16 and 32


class Backbone(nn.Module):
    """EfficientNet-Lite0 without its classifier."""

    stages: nn.Sequential

    def __init__(self) -> None:
        super().__init__()
        self.take(timm.create_model("tf_efficientnet_lite0", pretrained=False))

    def take(self, network: Any) -> None:  # timm's EfficientNet, whose layers are found by their names
        """Take over the layers of timm's network, and fold its batch norms into the convolutions before
        them."""
        network.eval()
        self.stem = nn.Sequential(fuse_conv_bn_eval(network.conv_stem, network.bn1), network.bn1.act)
        for block in network.blocks.modules():
            convolutions = [name for name in ("conv_pw", "conv_dw", "conv_pwl") if hasattr(block, name)]
            if isinstance(block, DepthwiseSeparableConv):
                convolutions = ["conv_dw", "conv_pw"]
            for number, name in enumerate(convolutions, 1):
                norm = getattr(block, f"bn{number}")
                setattr(block, name, fuse_conv_bn_eval(getattr(block, name), norm))
                setattr(block, f"bn{number}", norm.act)
        self.stages = network.blocks

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """f4[B, 3, h, w] in -1..1 -> maps at strides 4, 8, 16 and 32, whose sizes are rounded up."""
        quarter = self.stages[:2](self.stem(image))
        eighth = self.stages[2](quarter)
        sixteenth = self.stages[3:5](eighth)
        return quarter, eighth, sixteenth, self.stages[5:](sixteenth)


class Pyramid(nn.Module):
    """A top-down decoder (Lin et al. 2017): coarse maps are enlarged by two, cropped, and added to the finer
    ones.

    For any size of image, enlarging by exactly two and cropping keeps cells where the strided convolutions
    put them. Resizing to the size of the finer map would shift them. `widths` are the channels at strides 4,
    8, 16 and 32; where the first is 0, there is no map at the finest stride.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.widths = tuple(widths)
        levels = range(0 if widths[0] else 1, 4)
        self.lateral = nn.ModuleDict({str(i): nn.Conv2d(CHANNELS[i], widths[i], 1) for i in levels})
        self.context = nn.Linear(CHANNELS[3], widths[3])
        self.narrow = nn.ModuleDict(
            {
                str(i): nn.Conv2d(widths[i + 1], widths[i], 1)
                for i in levels
                if i < 3 and widths[i] != widths[i + 1]
            }
        )
        self.smooth = nn.ModuleDict({str(i): Smooth(widths[i]) for i in levels})

    def forward(self, maps: Sequence[torch.Tensor]) -> dict[int, torch.Tensor]:
        """Maps at strides 4, 8, 16, 32 -> decoded maps by level (0 = stride 4 .. 3 = stride 32)."""
        whole = self.context(maps[3].mean((2, 3)))[:, :, None, None]  # [B, W, 1, 1], the kind of room
        decoded = {3: self.smooth["3"](self.lateral["3"](maps[3]) + whole)}
        for level in (2, 1, 0):
            if str(level) not in self.lateral:
                break
            coarse = decoded[level + 1]
            if str(level) in self.narrow:
                coarse = self.narrow[str(level)](coarse)
            height, width = maps[level].shape[2:]
            coarse = functional.interpolate(coarse, scale_factor=2, mode="bilinear")[..., :height, :width]
            decoded[level] = self.smooth[str(level)](self.lateral[str(level)](maps[level]) + coarse)
        return decoded


class Smooth(nn.Module):
    """A residual 3x3 convolution. Its norms are group norms, because the statistics of a batch of rooms are
    not those of single objects."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.GroupNorm(8, width), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1))
        self.second = nn.Sequential(nn.GroupNorm(8, width), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.second(x + self.first(x))
        return result


def prepare(images: U1, side: int, grey: bool = False) -> torch.Tensor:
    """u1[B, H, W, 3] -> f4[B, 3, h, w] in -1..1. The shorter side becomes `side`, the longer one at most 4
    times as long. grey: whether colours are taken out."""
    height, width = images.shape[1:3]
    scale = side / min(height, width)
    size = tuple(min(4 * side, max(side, round(length * scale))) for length in (height, width))
    x = torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).float()
    if grey:
        weights = torch.tensor([0.299, 0.587, 0.114])  # luma of ITU-R BT.601
        x = (x * weights[:, None, None]).sum(1, keepdim=True).expand(-1, 3, -1, -1)
    x = functional.interpolate(x, size=size, mode="bilinear", antialias=True)
    return (x / 127.5 - 1).contiguous(memory_format=torch.channels_last)
