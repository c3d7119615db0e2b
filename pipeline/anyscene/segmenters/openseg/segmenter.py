"""OpenSeg (Ghiasi et al. 2022): every pixel gets a feature in the text space of CLIP ViT-L/14 at 336 pixels,
as in OpenScene, from the SavedModel that was published (answer.py says how it is read)."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image

from anyscene.arrays import I2, U1, Array
from anyscene.errors import TextError, WeightsError
from anyscene.segmenters.openseg import SOURCE, answer
from anyscene.segmenters.protocol import FeatureMap, require_finite
from anyscene.text import TEMPLATE, TextEncoder, embeddings

TEXT_MODELS = (
    "ViT-L-14-336",
    "ViT-L-14-336-quickgelu",
)  # of open_clip; others of width 768 have other spaces


class Answering(Protocol):
    """What answers for an encoded image."""

    def __call__(self, image: bytes, /) -> tuple[Array, Array]:
        """(ppixel_ave_feat f4[1, h, w, C], image_info f4[4, 2])."""
        ...


class OpenSegSegmenter:
    """OpenSeg behind the Segmenter protocol."""

    def __init__(
        self,
        name: str,
        model: Answering,
        text: TextEncoder,
        device: torch.device,
        template: str = TEMPLATE,
    ) -> None:
        """device: of the features. template: the sentence in which names are encoded."""
        self.name, self._model = name, model
        self._text, self._device, self._template = text, device, template

    @classmethod
    def load(
        cls, name: str, folder: Path, text: TextEncoder, device: torch.device, template: str = TEMPLATE
    ) -> OpenSegSegmenter:
        """The SavedModel in `folder`. Raises WeightsError where it cannot be loaded, and TextError for an
        encoder of another text space."""
        from anyscene.segmenters.openseg.saved_model import SavedModel

        model = SavedModel(folder, device)
        known = text.name.split(":")[1] if text.name.startswith("open_clip:") else None
        if text.width != model.width or known not in TEXT_MODELS:
            raise TextError(
                f"{name} lives in the {model.width} wide text space of CLIP ViT-L/14 at 336 pixels, not in "
                f"the {text.width} wide one of {text.name}: set `text.encoder: open_clip:ViT-L-14-336:openai`"
            )
        return cls(name, model, text, device, template)

    def describe(self, images: U1, vocabulary: Sequence[str] = ()) -> list[FeatureMap]:
        """One FeatureMap for each image u1[B, H, W, 3], on the device, with a feature of each pixel. Features
        have the lengths that the network gives them."""
        return [FeatureMap(torch.from_numpy(feature).to(self._device)) for feature in self._each(images)]

    def label(self, images: U1, vocabulary: Sequence[str]) -> I2:
        """i2[B, H, W]: the name most similar to each pixel. Every pixel has one."""
        target = embeddings(self._text, vocabulary, self._template)  # [K, C]
        labels = np.empty(images.shape[:3], np.int16)
        for row, feature in zip(labels, self._each(images), strict=True):
            row[...] = (feature @ target.T).argmax(2)
        return labels

    def _each(self, images: U1) -> Iterator[Array]:
        """f4[H, W, C] of each image u1[B, H, W, 3]."""
        for image in images:
            feature, info = self._model(encoded(image))
            require_finite(self.name, "features", torch.from_numpy(feature))
            try:
                yield answer.pixels(feature, info, image.shape[:2]).astype(np.float32, copy=False)
            except ValueError as error:
                raise WeightsError(f"{self.name}: {error}; get it again from {SOURCE}") from error


def encoded(image: U1) -> bytes:
    """`image` u1[H, W, 3] as PNG, which loses nothing."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()
