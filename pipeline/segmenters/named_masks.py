"""What mask models share: masks that have names of the vocabulary become labels and captions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.segmenters.captioner import Captioner, caption_map
from pipeline.segmenters.protocol import CaptionMap


@dataclass(frozen=True)
class NamedMasks:
    """Masks of one image. owner: i4[H, W], the mask that each pixel belongs to, -1 = none; name: i8[n], index
    into the vocabulary."""

    owner: np.ndarray
    name: np.ndarray

    def labels(self) -> np.ndarray:
        """i2[H, W]: the name of the mask that each pixel belongs to, -1 in none."""
        labels = np.full(self.owner.shape, -1, np.int16)
        inside = self.owner >= 0
        labels[inside] = self.name[self.owner[inside]]
        return labels

    def captions(self, image: np.ndarray, vocabulary: Sequence[str], captioner: Captioner) -> CaptionMap:
        """ "a brown table in a scene" for each mask of u1[H, W, 3]."""
        return caption_map(image, self.owner, [vocabulary[index] for index in self.name], captioner)


class MaskModel(ABC):
    """The Segmenter protocol for a model that finds masks in one image at a time, so that a batch can make
    no difference."""

    name: str
    version: str
    captioner: Captioner

    @abstractmethod
    def named(self, image: np.ndarray, vocabulary: Sequence[str]) -> NamedMasks:
        """The masks of u1[H, W, 3]."""

    def describe(self, images: np.ndarray, vocabulary: Sequence[str]) -> list[CaptionMap]:
        """One CaptionMap for each image u1[B, H, W, 3]: "a brown table in a scene" for each mask."""
        return [self.named(image, vocabulary).captions(image, vocabulary, self.captioner) for image in images]

    def label(self, images: np.ndarray, vocabulary: Sequence[str]) -> np.ndarray:
        """i2[B, H, W]: the name of the mask that each pixel belongs to, -1 in none."""
        labels = np.empty(images.shape[:3], np.int16)
        for row, image in zip(labels, images, strict=True):
            row[...] = self.named(image, vocabulary).labels()
        return labels
