"""The protocol of captioners. A captioner gives what stands before the noun of a mask."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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

    def modifiers(self, image: U1, mask: B1) -> str:
        """What stands before the noun for the pixels of `image` u1[H, W, 3] under `mask` b1[H, W], e.g.
        "brown wooden"."""
        ...


def caption_map(
    owner: I4, names: Sequence[str], modifiers: Callable[[int, B1], str], template: str = TEMPLATE
) -> CaptionMap:
    """The sentences for the masks of an image: "an orange chair in a scene".

    owner: i4[H, W], the mask of each pixel, -1 = none.
    names: those of the masks.
    modifiers: what stands before the name, from the number of a mask and its pixels b1[H, W].
    template: of the sentences, with one {}.
    """
    text: dict[str, int] = {}
    caption = np.full(owner.shape, -1, np.int32)
    for mask, name in enumerate(names):
        inside = owner == mask
        if inside.any():
            words = noun_phrase.sentence(modifiers(mask, inside), name, template)
            caption[inside] = text.setdefault(words, len(text))
    return CaptionMap(caption, tuple(text))
