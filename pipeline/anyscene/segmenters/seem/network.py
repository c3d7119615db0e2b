"""SEEM (Zou et al. 2023): an image to masks and their features in the space of SEEM's texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from anyscene.segmenters.seem.decoder import QueryDecoder
from anyscene.segmenters.seem.focal import FOCAL_L, FOCAL_T, Focal, FocalNet
from anyscene.segmenters.seem.pixel_decoder import PixelDecoder
from anyscene.segmenters.seem.text import TextTower
from anyscene.weights import fitting

MEAN, DEVIATION = (123.675, 116.280, 103.530), (58.395, 57.120, 57.375)  # of pixels in 0..255
STRIDE = 32  # of the coarsest map; sides are padded to its multiples
STEM = "backbone.patch_embed.proj.weight"
# what serves training, and points, strokes and memories
UNUSED = (
    "criterion.",
    "dilation_kernel",
    "sem_seg_head.predictor.mask_sptial_embed.",
    "sem_seg_head.predictor.pn_indicator.",
    "sem_seg_head.predictor.spatial_",
)


@dataclass(frozen=True)
class Sizes:
    """The sizes of SEEM. The defaults are those of all published files; smaller ones serve tests."""

    focal: Focal
    width: int = 512  # D of the decoders, and T of the text tower
    heads: int = 8
    feedforward: int = 2048
    encoder: int = 6  # layers
    decoder: int = 9  # layers
    queries: int = 101
    text: int = 12  # layers


PUBLISHED = (Sizes(FOCAL_L), Sizes(FOCAL_T))


class Seem(nn.Module):
    """SEEM with its object queries. Modules have the names of the published files."""

    def __init__(self, architecture: Sizes) -> None:
        super().__init__()
        own, focal = architecture, architecture.focal
        channels = [focal.width << number for number in range(len(focal.depths))]
        self.backbone = FocalNet(focal)
        self.sem_seg_head = Head(
            PixelDecoder(channels, own.width, own.heads, own.feedforward, own.encoder),
            QueryDecoder(
                own.width,
                own.heads,
                own.feedforward,
                own.decoder,
                own.queries,
                TextTower(own.width, own.heads, own.text),
            ),
        )

    @property
    def text(self) -> TextTower:
        """What encodes names."""
        return self.sem_seg_head.predictor.lang_encoder

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """f4[B, 3, H, W] in 0..255 -> (features f4[B, Q, T] of the masks, the logits f4[B, Q, H, W] of the
        masks)."""
        feature, masks = self.masks(images)
        padded = [-(-side // STRIDE) * STRIDE for side in images.shape[2:]]
        masks = functional.interpolate(masks.float(), size=padded, mode="bilinear")
        return feature.float(), masks[..., : images.shape[2], : images.shape[3]]

    def masks(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """As `forward`, but the masks are at stride 4, of the image that is padded with its mean on the right
        and below to multiples of 32."""
        height, width = images.shape[2:]
        mean, deviation = (images.new_tensor(one)[:, None, None] for one in (MEAN, DEVIATION))
        x = functional.pad((images - mean) / deviation, (0, -width % STRIDE, 0, -height % STRIDE))
        found: tuple[torch.Tensor, torch.Tensor] = self.sem_seg_head(self.backbone(x))
        return found


class Head(nn.Module):
    """Both decoders."""

    def __init__(self, pixel_decoder: PixelDecoder, predictor: QueryDecoder) -> None:
        super().__init__()
        self.pixel_decoder, self.predictor = pixel_decoder, predictor

    def forward(self, maps: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Maps at strides 4, 8, 16, 32 -> what QueryDecoder gives."""
        found: tuple[torch.Tensor, torch.Tensor] = self.predictor(*self.pixel_decoder(maps))
        return found


def load(
    tensors: Mapping[str, torch.Tensor],
    file: Path,
    source: str,
    architectures: tuple[Sizes, ...] = PUBLISHED,
) -> Seem:
    """SEEM for inference with `tensors`, the content of `file`. The backbone is told by its first layer.

    source: where to get the file, for the message. Raises WeightsError where names or shapes are not those of
    one of `architectures`; the message lists what is missing and what is left over.
    """
    again = f"; SEEM with Focal-L or Focal-T was wanted, from {source}"
    by_width = {one.focal.width: one for one in architectures}
    sizes = fitting.architecture(tensors, STEM, by_width, file, again)
    with torch.device("meta"):  # random values would take seconds to draw
        network = Seem(sizes)
    kept = {name: value for name, value in tensors.items() if not name.startswith(UNUSED)}
    return fitting.fill(network, kept, file, again)
