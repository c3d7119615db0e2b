"""The protocol of captioners. A captioner gives what stands before the noun of a mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from anyscene.arrays import B1, I4, U1
from anyscene.segmenters.captions import noun_phrase
from anyscene.segmenters.protocol import CaptionMap
from anyscene.text import TEMPLATE


class Captioner(Protocol):
    @property
    def template(self) -> str:
        """The sentence in which what it describes stands, with one {}."""
        ...

    def modifiers(self, image: U1, masks: Sequence[B1]) -> list[str]:
        """What stands before the noun for the pixels of `image` u1[H, W, 3] under each of `masks` b1[H, W],
        e.g. "brown wooden"; "" for a mask without pixels."""
        ...


def caption_map(
    owner: I4, names: Sequence[str], modifiers: Sequence[str], template: str = TEMPLATE
) -> CaptionMap:
    """The sentences for the masks of an image: "an orange chair in a scene".

    owner: i4[H, W], the mask of each pixel, -1 = none.
    names: those of the masks.
    modifiers: what stands before the names.
    template: of the sentences, with one {}.
    """
    text: dict[str, int] = {}
    caption = np.full(owner.shape, -1, np.int32)
    for mask, (before, name) in enumerate(zip(modifiers, names, strict=True)):
        inside = owner == mask
        if inside.any():
            words = noun_phrase.sentence(before, name, template)
            caption[inside] = text.setdefault(words, len(text))
    return CaptionMap(caption, tuple(text))
