"""The protocol of 2D open-vocabulary models.

A model answers in one of two ways. Dense models (LSeg, OpenSeg) place every pixel in text space and give a
FeatureMap. Mask models (SEEM, Mask2Former) find masks and name them. Each mask becomes one sentence of the
text space, so they give a CaptionMap: the sentences, and the pixels that belong to each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from anyscene.arrays import I2, I4, U1, Array
from anyscene.errors import WeightsError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class FeatureMap:
    """Features in text space on a grid that covers the whole image and is usually coarser than it.

    The centre of pixel (u, v) of a W x H image has the grid position ((u + .5) * w / W - .5, (v + .5) * h / H
    - .5) (column, row). Read it bilinearly or at the nearest cell. Raises ValueError where the map is empty
    or not [h, w, C].
    """

    feature: torch.Tensor  # f4[h, w, C]

    def __post_init__(self) -> None:
        if self.feature.ndim != 3 or 0 in self.feature.shape:
            raise ValueError(f"a feature map is [h, w, C] and not empty, got {tuple(self.feature.shape)}")


@dataclass(frozen=True)
class CaptionMap:
    """For every pixel, the sentence that describes the mask it belongs to. Raises ValueError where `caption`
    is not i4[H, W], or has an id without a text."""

    caption: I4  # i4[H, W], indices into `text`, -1 = in no mask
    text: tuple[str, ...]  # distinct sentences, e.g. "a brown wooden table in a scene"

    def __post_init__(self) -> None:
        if self.caption.ndim != 2 or self.caption.dtype != np.int32:
            raise ValueError(f"a caption map is i4[H, W], got {self.caption.dtype}{list(self.caption.shape)}")
        if self.caption.size and (self.caption.min() < -1 or self.caption.max() >= len(self.text)):
            raise ValueError(f"caption ids must lie in -1..{len(self.text) - 1}")


@runtime_checkable
class Segmenter(Protocol):
    """A 2D open-vocabulary model.

    images: u1[B, H, W, 3] RGB. vocabulary: the names to choose from, without a sentence around them. The
    results do not depend on how images are put into batches. A model may be described without a vocabulary
    where its entry says that it does not look at it.
    """

    name: str

    def label(self, images: U1, vocabulary: Sequence[str]) -> I2:
        """i2[B, H, W]: indices into `vocabulary`, -1 where the model says nothing."""
        ...

    def describe(self, images: U1, vocabulary: Sequence[str]) -> list[FeatureMap] | list[CaptionMap]:
        """One map for each image. A mask model without labels of its own names its masks by `vocabulary`; one
        that has any does so where `segmenters.nouns` says it."""
        ...


def require_finite(model: str, what: str, *answers: torch.Tensor) -> None:
    """Raise WeightsError where a number in `answers` is NaN or infinite, which would pass for a label or for
    an empty mask. model, what: the names of the model and of the answers, for the message."""
    if not all(bool(answer.isfinite().all()) for answer in answers):
        raise WeightsError(
            f"{model}: {what} are NaN or infinite: damaged weights, or too small a `segmenters.precision`; "
            "set that to float32, or else get the weights and the settings beside them again"
        )


def nearest(cells: Array, size: tuple[int, int]) -> Array:
    """[H, W] = `size`: the value of the cell in cells [h, w] in which the centre of each pixel lies."""
    row, column = (
        (np.arange(pixels) * 2 + 1) * count // (2 * pixels)
        for pixels, count in zip(size, cells.shape, strict=True)
    )
    picked: Array = cells[row[:, None], column]
    return picked
