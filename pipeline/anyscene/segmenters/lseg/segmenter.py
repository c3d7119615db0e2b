"""LSeg (Li et al. 2022): every pixel gets a feature in the text space of CLIP ViT-B/32.

OpenScene and SAS extract features with this network and in this way: at one scale, as the mean over the image
and its mirror image, with pixels normalised by mean and standard deviation 0.5. An image is resized until its
longer side is `base`, and padded with black on the right and below to a square of `crop`. Features have a
stride of 2, so that base = 2 * longer side gives one for each pixel. Their code chooses it so: OpenScene's
(lseg_feature_extraction) 640 for ScanNet at 320x240 and 1280 for Matterport3D at 640x512, SAS's 640 for
ScanNet. A larger image is seen in windows that overlap by a third.

The CLIP towers (`net.clip_pretrained`) of the published checkpoint, `demo_e200.ckpt`, are ignored. LSeg was
trained with CLIP's text tower frozen, so `text.encoder: open_clip:ViT-B-32:openai` is the same one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from anyscene.arrays import I2, U1
from anyscene.errors import TextError, WeightsError
from anyscene.project.device import autocast, passes
from anyscene.project.parameters import Precision
from anyscene.segmenters.lseg import SOURCE, Settings
from anyscene.segmenters.lseg.dpt import Architecture, DensePredictor
from anyscene.segmenters.protocol import FeatureMap, nearest, require_finite
from anyscene.text import TEMPLATE, TextEncoder, embeddings
from anyscene.weights import fitting, reading

TEXT_MODELS = ("ViT-B-32", "ViT-B-32-quickgelu")  # of open_clip; others of width 512 have other spaces
NETWORK, IGNORED = "net.", "clip_pretrained."
BLACK = -1.0  # (0 - mean) / std


class LsegSegmenter:
    """LSeg behind the Segmenter protocol."""

    def __init__(
        self,
        name: str,
        network: DensePredictor,
        text: TextEncoder,
        settings: Settings,
        device: torch.device,
        precision: Precision = "float32",
        template: str = TEMPLATE,
    ) -> None:
        """network: on `device`, for inference, with features as wide as those of `text`. template: the
        sentence in which names are encoded."""
        self.name, self.network, self._template = name, network, template
        self._text, self._settings, self._device, self._precision = text, settings, device, precision

    @classmethod
    def load(
        cls,
        name: str,
        file: Path,
        text: TextEncoder,
        settings: Settings,
        device: torch.device,
        architecture: Architecture = Architecture(),
        precision: Precision = "float32",
        template: str = TEMPLATE,
    ) -> LsegSegmenter:
        """The model in the checkpoint `file`. Raises WeightsError where it cannot be loaded, and TextError
        for an encoder of another text space."""
        model = text.name.split(":")[1] if text.name.startswith("open_clip:") else None
        if text.width != architecture.out or model not in TEXT_MODELS:
            raise TextError(
                f"{name} lives in the {architecture.out} wide text space of CLIP ViT-B/32, not in the "
                f"{text.width} wide one of {text.name}: set `text.encoder: open_clip:ViT-B-32:openai`"
            )
        with torch.device("meta"):  # random values would take a minute to draw
            network = DensePredictor(architecture)
        fill(network, reading.read(file, SOURCE), file)
        network.eval().requires_grad_(False).to(device)
        return cls(name, network, text, settings, device, precision, template)

    @torch.inference_mode()
    def describe(self, images: U1, vocabulary: Sequence[str] = ()) -> list[FeatureMap]:
        """One FeatureMap for each image u1[B, H, W, 3], on the device. Features are not quite unit vectors,
        because the mean over an image and its mirror image is not normalised again.

        The grid has half the sides of the resized image, or those of the image where windows are averaged.
        """
        return [FeatureMap(feature.permute(1, 2, 0)) for feature in self._each(images)]

    @torch.inference_mode()
    def label(self, images: U1, vocabulary: Sequence[str]) -> I2:
        """i2[B, H, W]: the name most similar to the cell nearest to each pixel. Every pixel has one."""
        target = torch.from_numpy(embeddings(self._text, vocabulary, self._template)).to(
            self._device
        )  # [K, C]
        labels = np.empty(images.shape[:3], np.int16)
        for row, feature in zip(labels, self._each(images), strict=True):
            best = torch.einsum("kc,chw->khw", target, feature).argmax(0)
            row[...] = nearest(best.cpu().numpy(), row.shape)
        return labels

    def _each(self, images: U1) -> Iterator[torch.Tensor]:
        """f4[C, h, w] of each image u1[B, H, W, 3]."""
        for some in passes(images, self._device):
            found = self._features(some)
            require_finite(self.name, "features", found)
            yield from found

    def _features(self, images: U1) -> torch.Tensor:
        """u1[B, H, W, 3] -> f4[B, C, h, w]."""
        height, width = resized(images.shape[1], images.shape[2], self._settings.base)
        x = torch.from_numpy(np.array(images)).to(self._device).permute(0, 3, 1, 2).float() / 255
        x = functional.interpolate((x - 0.5) / 0.5, size=(height, width), mode="bilinear", align_corners=True)
        crop = self._settings.crop
        x = functional.pad(x, (0, max(0, crop - width), 0, max(0, crop - height)), value=BLACK)
        if max(height, width) <= crop:
            return self._mirrored(x)[..., : -(-height // 2), : -(-width // 2)]
        x = self._windows(x)[..., :height, :width]
        return functional.interpolate(x, size=images.shape[1:3], mode="bilinear", align_corners=True)

    def _windows(self, image: torch.Tensor) -> torch.Tensor:
        """f4[B, 3, h, w], no side below `crop` -> f4[B, C, h, w]: the mean over the windows that hold a
        pixel."""
        crop = self._settings.crop
        total, count = None, image.new_zeros(image.shape[2:])
        for top in starts(image.shape[2], crop):
            for left in starts(image.shape[3], crop):
                window = image[..., top : top + crop, left : left + crop]
                height, width = window.shape[2:]
                padded = functional.pad(window, (0, crop - width, 0, crop - height), value=BLACK)
                found = functional.interpolate(
                    self._mirrored(padded), scale_factor=2, mode="bilinear", align_corners=True
                )
                if total is None:
                    total = found.new_zeros(*found.shape[:2], *image.shape[2:])
                total[..., top : top + crop, left : left + crop] += found[..., :height, :width]
                count[top : top + crop, left : left + crop] += 1
        assert total is not None  # because every side holds a window
        return total / count

    def _mirrored(self, image: torch.Tensor) -> torch.Tensor:
        """f4[B, 3, h, w] -> f4[B, C, h/2, w/2]: the mean of the unit vectors of the image and of its mirror
        image."""
        with autocast(self._device, self._precision):
            both = self.network(torch.cat([image, image.flip(3)]))
        found, mirrored = functional.normalize(both.float(), dim=1).chunk(2)
        return (found + mirrored.flip(3)) / 2


def resized(height: int, width: int, base: int) -> tuple[int, int]:
    """The height and width whose longer side is `base`, in the same proportions; halves are rounded up."""
    if height > width:
        return base, max(1, int(width * base / height + 0.5))
    return max(1, int(height * base / width + 0.5)), base


def starts(length: int, crop: int) -> Iterator[int]:
    """The starts of windows of `crop` along a side of `length` >= crop: one every two thirds of a window. The
    last one may reach beyond the end."""
    stride = int(crop * (2 / 3))
    return iter(range(0, (math.ceil((length - crop) / stride) + 1) * stride, stride))


def fill(network: DensePredictor, tensors: Mapping[str, torch.Tensor], file: Path) -> None:
    """Make `tensors` the parameters of `network`.

    Names may begin with `net.`, as published. Then those that do not are ignored, as those of CLIP always
    are. Raises WeightsError where names or shapes differ, where integers stand for fractions, or where a
    value is NaN or infinite.
    """
    if any(key.startswith(NETWORK) for key in tensors):
        tensors = {
            key.removeprefix(NETWORK): value for key, value in tensors.items() if key.startswith(NETWORK)
        }
    tensors = {
        key: value.float() if value.is_floating_point() else value
        for key, value in tensors.items()
        if not key.startswith(IGNORED)
    }
    own = network.state_dict()
    for key in sorted(own.keys() | tensors.keys()):
        found, wanted = _described(tensors.get(key)), _described(own.get(key))
        if found != wanted:
            raise WeightsError(
                f"{file}: weights of another architecture: {key} is {found}, wanted {wanted}; take "
                f"demo_e200.ckpt from {SOURCE}"
            )
    if name := fitting.without_numbers(tensors):
        raise WeightsError(
            f"{file}: damaged, {name} has values that are no numbers; get it again from {SOURCE}"
        )
    network.load_state_dict(tensors, assign=True)


def _described(tensor: torch.Tensor | None) -> str:
    if tensor is None:
        return "nothing"
    return f"{list(tensor.shape)}{'' if tensor.is_floating_point() else ' of integers'}"
