"""What mask models share: masks with names of the vocabulary become labels and captions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from anyscene.arrays import B1, F4, I2, I4, I8, U1
from anyscene.segmenters.captions.captioner import Captioner, caption_map
from anyscene.segmenters.protocol import CaptionMap


def owners(mask: B1, score: F4) -> I4:
    """i4[H, W]: the mask that owns each pixel, -1 = none. Of the masks b1[n, H, W] that hold a pixel it is
    the one with the highest score f4[n], of equals the first."""
    owner = np.full(mask.shape[1:], -1, np.int32)
    for number in np.argsort(-score, kind="stable")[::-1]:
        owner[mask[number]] = number
    return owner


@dataclass(frozen=True)
class NamedMasks:
    """Masks of one image."""

    owner: I4  # i4[H, W], the mask that each pixel belongs to, -1 = none
    name: I8  # i8[n], index into the vocabulary
    modifiers: tuple[str, ...] | None = None  # what stands before each name, where the model itself says so

    def labels(self) -> I2:
        """i2[H, W]: the name of the mask that each pixel belongs to, -1 in none."""
        labels = np.full(self.owner.shape, -1, np.int16)
        inside = self.owner >= 0
        labels[inside] = self.name[self.owner[inside]]
        return labels

    def captions(self, image: U1, vocabulary: Sequence[str], captioner: Captioner) -> CaptionMap:
        """ "a brown table in a scene" for each mask of `image` u1[H, W, 3]. The captioner gives the
        adjectives where the model has none of its own."""

        def modifiers(mask: int, inside: B1) -> str:
            return captioner.modifiers(image, inside) if self.modifiers is None else self.modifiers[mask]

        names = [vocabulary[index] for index in self.name]
        return caption_map(self.owner, names, modifiers, captioner.template)


class MaskModel(ABC):
    """The Segmenter protocol for a model that finds masks."""

    name: str
    captioner: Captioner

    @abstractmethod
    def named(self, images: U1, vocabulary: Sequence[str]) -> Iterator[NamedMasks]:
        """The masks of each image u1[B, H, W, 3]."""

    def describe(self, images: U1, vocabulary: Sequence[str]) -> list[CaptionMap]:
        """One CaptionMap for each image u1[B, H, W, 3]: "a brown table in a scene" for each mask."""
        found = zip(self.named(images, vocabulary), images, strict=True)
        return [masks.captions(image, vocabulary, self.captioner) for masks, image in found]

    def label(self, images: U1, vocabulary: Sequence[str]) -> I2:
        """i2[B, H, W]: the name of the mask that each pixel belongs to, -1 in none."""
        labels = np.empty(images.shape[:3], np.int16)
        for row, masks in zip(labels, self.named(images, vocabulary), strict=True):
            row[...] = masks.labels()
        return labels
