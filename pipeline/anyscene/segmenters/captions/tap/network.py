"""TAP (Pan et al. 2024, "Tokenize Anything via Prompting"): an image and points in it to texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from anyscene.segmenters.captions.tap.image_decoder import ImageDecoder, Regions
from anyscene.segmenters.captions.tap.image_encoder import ImageEncoder
from anyscene.segmenters.captions.tap.prompt_encoder import PromptEncoder
from anyscene.segmenters.captions.tap.text_decoder import TextDecoder
from anyscene.weights import fitting

MEAN, DEVIATION = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # of pixels in 0..255, RGB
STEM = "image_encoder.patch_embed.proj.weight"
# what the published files hold of constants: of pixels, and the numbers of offsets in a window
UNUSED_ENDINGS = ("pixel_mean", "pixel_rsig", "rel_pos_embed.index")


@dataclass(frozen=True)
class TapSizes:
    """The sizes of TAP. The defaults are those of all published files; smaller ones serve tests."""

    width: int  # of the image encoder
    depth: int  # of the image encoder
    heads: int  # of the image encoder
    image: int = 1024  # the side of the square in which images stand, in pixels
    patch: int = 16
    window: int = 16  # patches
    region: int = 256  # the width of tokens of regions
    region_heads: int = 8
    region_depth: int = 2
    feedforward: int = 2048
    concepts: int = 1024
    text: int = 512  # the width of the text decoder
    text_heads: int = 8
    text_depth: int = 12
    length: int = 40  # tokens of a region, a beginning and words
    words: int = 32000


PUBLISHED = (TapSizes(1280, 32, 16), TapSizes(1024, 24, 16), TapSizes(768, 12, 12))  # ViT-H, -L, -B


class Tap(nn.Module):
    """TAP. Modules have the names of the published files."""

    def __init__(self, sizes: TapSizes) -> None:
        super().__init__()
        own = sizes
        self.sizes = own
        self.image_encoder = ImageEncoder(
            own.image, own.patch, own.window, own.width, own.depth, own.heads, own.region
        )
        self.prompt_encoder = PromptEncoder(own.region, own.image)
        self.image_decoder = ImageDecoder(
            own.region, own.region_heads, own.feedforward, own.region_depth, own.concepts
        )
        self.text_decoder = TextDecoder(
            own.region, own.text, own.text_heads, own.text_depth, own.length, own.words
        )

    @property
    def cells(self) -> tuple[int, int]:
        """The rows and columns of the map of an image."""
        return (self.sizes.image // self.sizes.patch,) * 2

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """f4[B, 3, S, S] in 0..255, RGB -> maps f4[B, cells, D]."""
        mean, deviation = (images.new_tensor(one)[:, None, None] for one in (MEAN, DEVIATION))
        maps = self.image_encoder(((images - mean) / deviation).flip(1))  # it was trained with BGR
        cells: torch.Tensor = maps.flatten(2).transpose(1, 2)
        return cells

    def regions(self, image: torch.Tensor, place: torch.Tensor, kind: torch.Tensor) -> Regions:
        """What is at each of N prompts in one image, f4[cells, D]. The points of a prompt are at place
        f4[N, P, 2] and of kind i8[N, P]; prompt_encoder says which there are."""
        prompts = self.prompt_encoder(place, kind)
        found: Regions = self.image_decoder(image, self.prompt_encoder.grid(*self.cells), prompts)
        return found


def load(
    tensors: Mapping[str, torch.Tensor],
    file: Path,
    source: str,
    architectures: tuple[TapSizes, ...] = PUBLISHED,
) -> Tap:
    """TAP for inference with `tensors`, the content of `file`. The encoder is told by its first layer.

    source: where to get the file, for the message. Raises WeightsError where names or shapes are not those of
    one of `architectures`; the message lists what is missing and what is left over.
    """
    again = f"; TAP with ViT-H, ViT-L or ViT-B was wanted, from {source}"
    by_width = {one.width: one for one in architectures}
    sizes = fitting.architecture(tensors, STEM, by_width, file, again)
    with torch.device("meta"):  # random values would take seconds to draw
        network = Tap(sizes)
    kept = {name: value for name, value in tensors.items() if not name.endswith(UNUSED_ENDINGS)}
    return fitting.fill(network, kept, file, again)
