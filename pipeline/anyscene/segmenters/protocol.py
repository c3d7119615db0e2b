"""What every 2D open-vocabulary model looks like to the rest of the pipeline.

A model answers in one of two ways. Dense models (LSeg, OpenSeg) place every pixel in text space: a
FeatureMap. Mask models (SEEM, Mask2Former) find masks and name them; each mask becomes one sentence of the
text space, so a CaptionMap is all that has to leave the model: the sentences, and which pixel belongs to
which.
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
    """Features in text space on a grid that covers the whole image, usually coarser than it.

    feature: f4[h, w, C]. The centre of pixel (u, v) of a W x H image lies at grid position
    ((u + .5) * w / W - .5, (v + .5) * h / H - .5) (column, row); read it bilinearly or at the nearest cell.
    """

    feature: torch.Tensor

    def __post_init__(self) -> None:
        if self.feature.ndim != 3 or 0 in self.feature.shape:
            raise ValueError(f"a feature map is [h, w, C] and not empty, got {tuple(self.feature.shape)}")


@dataclass(frozen=True)
class CaptionMap:
    """For every pixel, the sentence that describes the mask it belongs to.

    caption: i4[H, W], index into `text`; -1 = in no mask.
    text: the distinct sentences, e.g. "a brown wooden table in a scene".
    """

    caption: I4
    text: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.caption.ndim != 2 or self.caption.dtype != np.int32:
            raise ValueError(f"a caption map is i4[H, W], got {self.caption.dtype}{list(self.caption.shape)}")
        if self.caption.size and (self.caption.min() < -1 or self.caption.max() >= len(self.text)):
            raise ValueError(f"caption ids must lie in -1..{len(self.text) - 1}")


@runtime_checkable
class Segmenter(Protocol):
    """A 2D open-vocabulary model.

    `images` is u1[B, H, W, 3] RGB, `vocabulary` the names (without sentence template) to choose from. Neither
    method depends on how images are put into batches.
    """

    name: str
    version: str  # content hash of weights and architecture

    def label(self, images: U1, vocabulary: Sequence[str]) -> I2:
        """i2[B, H, W]: index into `vocabulary`, -1 where the model says nothing."""
        ...

    def describe(self, images: U1, vocabulary: Sequence[str]) -> list[FeatureMap] | list[CaptionMap]:
        """One map for each image. `vocabulary` names the masks of a mask model; dense models do not need
        it."""
        ...


def require_finite(model: str, what: str, *answers: torch.Tensor) -> None:
    """Raises WeightsError, naming `model` and `what` it answers with, where a number is NaN or infinite: that
    would pass for a label, or for no mask at all."""
    if not all(bool(answer.isfinite().all()) for answer in answers):
        raise WeightsError(
            f"{model}: {what} are NaN or infinite: damaged weights, or too small a `segmenters.precision`; "
            "set that to float32, or else get the weights and the settings beside them again"
        )


def nearest(cells: Array, size: tuple[int, int]) -> Array:
    """[H, W] of `size`: what the cell of [h, w] says in which the centre of each pixel lies."""
    row, column = (
        (np.arange(pixels) * 2 + 1) * count // (2 * pixels)
        for pixels, count in zip(size, cells.shape, strict=True)
    )
    picked: Array = cells[row[:, None], column]
    return picked
