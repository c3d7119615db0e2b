"""What mask models share: masks with names become labels and captions.

Some models look for the names of the vocabulary. Others have labels of their own, which they were trained
with. Where an answer over the vocabulary is wanted, a label becomes the closest name of it. A caption has the
model's own label as its noun, as in the paper (section 3.1) and in SAS's code (seem_feat/fusion_util.py:85),
so that a pillow is called a pillow also where the vocabulary has none (`segmenters.nouns: own`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from anyscene.arrays import B1, F4, I2, I4, I8, U1
from anyscene.project.parameters import CaptionNouns
from anyscene.segmenters.captions.captioner import Captioner, caption_map
from anyscene.segmenters.protocol import CaptionMap
from anyscene.text import TextEncoder, embeddings


def owners(mask: B1, score: F4) -> I4:
    """i4[H, W]: the mask that owns each pixel, -1 = none. Of the masks b1[n, H, W] that hold a pixel it is
    the one with the highest score f4[n], of equals the first."""
    owner = np.full(mask.shape[1:], -1, np.int32)
    for number in np.argsort(-score, kind="stable")[::-1]:
        owner[mask[number]] = number
    return owner


@dataclass(frozen=True)
class WholeMasks:
    """Masks of which each is described once, although its parts have several names."""

    owner: I4  # i4[H, W], the whole mask that each pixel belongs to, -1 = none
    of: I8  # i8[n], the whole mask of each part, -1 = none: the part is not described


@dataclass(frozen=True)
class NamedMasks:
    """Masks of one image."""

    owner: I4  # i4[H, W], the mask that each pixel belongs to, -1 = none
    name: I8  # i8[n], index into the vocabulary, or into the model's own labels
    modifiers: tuple[str, ...] | None = None  # what stands before each name, where the model itself says so
    whole: WholeMasks | None = None  # where these masks are parts, each with a name of its own

    def labels(self) -> I2:
        """i2[H, W]: the name of the mask that each pixel belongs to, -1 in none."""
        labels = np.full(self.owner.shape, -1, np.int16)
        inside = self.owner >= 0
        labels[inside] = self.name[self.owner[inside]]
        return labels

    def captions(self, image: U1, vocabulary: Sequence[str], captioner: Captioner) -> CaptionMap:
        """ "a brown table in a scene" for each mask of `image` u1[H, W, 3]. The captioner gives the
        adjectives where the model has none of its own."""
        names = [vocabulary[index] for index in self.name]
        modifiers = self._described(image, captioner) if self.modifiers is None else self.modifiers
        return caption_map(self.owner, names, modifiers, captioner.template)

    def _described(self, image: U1, captioner: Captioner) -> list[str]:
        """What the captioner says of each mask, or of the whole mask of each part; "" of masks without pixels
        and of parts that are not described."""
        whole = self.whole or WholeMasks(self.owner, np.arange(len(self.name)))
        seen = np.unique(self.owner[self.owner >= 0])
        asked = np.unique(whole.of[seen][whole.of[seen] >= 0])
        said = captioner.modifiers(image, [whole.owner == mask for mask in asked])
        text = dict(zip(asked.tolist(), said, strict=True))
        return [text.get(mask, "") for mask in whole.of.tolist()]


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


class LabelledMaskModel(MaskModel):
    """A mask model with labels of its own."""

    labels: tuple[str, ...]  # L labels, as captions say them
    nouns: CaptionNouns = "own"  # what captions say
    text: TextEncoder

    @abstractmethod
    def labelled(self, images: U1) -> Iterator[NamedMasks]:
        """The masks of each image u1[B, H, W, 3], named by `labels`."""

    def closest(self, vocabulary: Sequence[str]) -> I8:
        """i8[L]: the name of the vocabulary that is closest to each label."""
        name: I8 = (self._own @ embeddings(self.text, vocabulary, self.captioner.template).T).argmax(1)
        return name

    @cached_property
    def _own(self) -> F4:
        """f4[L, C]: the labels in text space, in the sentence of captions."""
        return embeddings(self.text, self.labels, self.captioner.template)

    def named(self, images: U1, vocabulary: Sequence[str]) -> Iterator[NamedMasks]:
        """The masks of each image u1[B, H, W, 3], named by what is closest to their labels."""
        name = self.closest(vocabulary)
        return (replace(masks, name=name[masks.name]) for masks in self.labelled(images))

    def describe(self, images: U1, vocabulary: Sequence[str] = ()) -> list[CaptionMap]:
        """One CaptionMap for each image u1[B, H, W, 3]: "a grey pillow in a scene" for each mask. The
        vocabulary counts only where captions say its names."""
        if self.nouns == "vocabulary":
            return super().describe(images, vocabulary)
        found = zip(self.labelled(images), images, strict=True)
        return [masks.captions(image, self.labels, self.captioner) for masks, image in found]
