"""A captioner without weights, which sees colours.

The paper's captioner (TAP) writes "a wooden bench", and the noun is then replaced by the label of the mask.
Here the adjectives are the names of the colours that cover most of the mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from anyscene.arrays import B1, F4, U1
from anyscene.text import TEMPLATE

if TYPE_CHECKING:
    from anyscene.project.parameters import Params, Segmenters

ON_DEVICE = False  # it counts pixels
# sRGB prototypes of the basic colour terms of English (Berlin & Kay 1969), several for those that span much
PROTOTYPES = (
    ("black", (15, 15, 15)),
    ("black", (40, 40, 42)),
    ("grey", (90, 90, 92)),
    ("grey", (130, 130, 130)),
    ("grey", (170, 170, 172)),
    ("white", (215, 215, 215)),
    ("white", (250, 250, 250)),
    ("beige", (222, 200, 165)),
    ("beige", (190, 170, 140)),
    ("brown", (70, 45, 28)),
    ("brown", (110, 72, 42)),
    ("brown", (150, 105, 65)),
    ("red", (140, 25, 25)),
    ("red", (200, 40, 40)),
    ("orange", (225, 125, 40)),
    ("yellow", (225, 205, 70)),
    ("green", (35, 80, 40)),
    ("green", (80, 150, 80)),
    ("green", (150, 190, 120)),
    ("blue", (25, 40, 90)),
    ("blue", (60, 100, 180)),
    ("blue", (140, 180, 220)),
    ("purple", (90, 50, 120)),
    ("purple", (160, 120, 180)),
    ("pink", (225, 150, 170)),
)
SECOND = 0.3  # a second colour is named if it covers this share of the mask
MOST = 512  # the most pixels that are looked at; of larger masks they are an even sample


def adjectives(pixels: U1) -> tuple[str, ...]:
    """The colour names of `pixels` u1[n, 3] RGB, the most frequent first: one, or two if the second covers 30
    %.

    They are empty for no pixels. Colours are compared in CIELAB.
    """
    if len(pixels) == 0:
        return ()
    step = -(-len(pixels) // MOST)
    names, prototypes = _palette()
    difference = cielab(pixels[::step])[:, None] - prototypes  # [n, P, 3]
    nearest = (difference**2).sum(2).argmin(1)
    share = np.bincount(
        np.array([names.index(name) for name, _ in PROTOTYPES])[nearest], minlength=len(names)
    )
    order = np.argsort(-share, kind="stable")
    first, second = order[:2]
    if share[second] >= SECOND * share.sum():
        return names[first], names[second]
    return (names[first],)


@dataclass(frozen=True)
class ColourCaptioner:
    """The colours of a mask: "orange and white"."""

    template: str = TEMPLATE

    def modifiers(self, image: U1, masks: Sequence[B1]) -> list[str]:
        return [" and ".join(adjectives(image[mask])) for mask in masks]


def weights(section: Segmenters) -> Sequence[Path]:
    """No files: this captioner has no weights."""
    return ()


def find(section: Segmenters) -> str:
    """Says that no weights are needed."""
    return "needs no weights"


def load(params: Params) -> ColourCaptioner:
    """The captioner that sees colours."""
    return ColourCaptioner(params.text.template)


def cielab(rgb: U1) -> F4:
    """f4[n, 3]: CIELAB (D65) of sRGB `rgb` u1[n, 3], by the formulas of IEC 61966-2-1 and CIE 15.

    scikit-image's rgb2lab uses other digits of the constants: 1,093 of the 2^24 colours would have another
    name, and existing captions other words.
    """
    value = rgb.astype(np.float32) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]], np.float32
    )
    xyz = linear @ to_xyz.T / np.array([0.9505, 1.0, 1.089], np.float32)
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], 1)


def _palette() -> tuple[tuple[str, ...], F4]:
    """The distinct names in order, and the prototypes in CIELAB, f4[P, 3]."""
    names = tuple(dict.fromkeys(name for name, _ in PROTOTYPES))
    return names, cielab(np.array([colour for _, colour in PROTOTYPES], np.uint8))
