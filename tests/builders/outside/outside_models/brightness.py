"""A 2D model without weights: what is dark has the first name of the vocabulary, the rest the last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from anyscene.errors import ConfigError
from anyscene.segmenters import Entry


@dataclass(frozen=True)
class Settings:
    """The section segmenters.brightness."""

    dark: float  # mean of red, green and blue in 0..1, below which a pixel is dark

    def __post_init__(self) -> None:
        if not 0 < self.dark < 1:
            raise ConfigError(f"segmenters.brightness.dark: must lie between 0 and 1, not {self.dark}")


class Brightness(Entry):
    settings: ClassVar[type] = Settings

    def load(self, params, captions):
        from anyscene.text import load_text_encoder

        return BrightnessSegmenter(load_text_encoder(params.text), params.segmenters.settings(self.name))


class BrightnessSegmenter:
    """The model behind anyscene's protocol."""

    name = "brightness"

    def __init__(self, text, settings: Settings) -> None:
        self._text, self._settings = text, settings

    def label(self, images, vocabulary):
        dark = images.mean(3) < 255 * self._settings.dark
        return np.where(dark, 0, len(vocabulary) - 1).astype(np.int16)

    def describe(self, images, vocabulary):
        import torch

        from anyscene.segmenters import FeatureMap
        from anyscene.text import embeddings

        space = embeddings(self._text, vocabulary)  # [K, C]
        return [FeatureMap(torch.from_numpy(space[label])) for label in self.label(images, vocabulary)]


ENTRY = Brightness("brightness")
