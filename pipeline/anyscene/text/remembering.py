"""What text encoders have in common: they embed each text by itself, and once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from anyscene.arrays import F4, Floats
from anyscene.errors import TextError
from anyscene.text import limits

if TYPE_CHECKING:
    from anyscene.text import Tokens


class Remembering(ABC):
    """An encoder that embeds each distinct text once in its life."""

    name: str  # what was loaded
    width: int  # C

    def __init__(self) -> None:
        self._known: dict[str, F4] = {}

    def encode(self, texts: Sequence[str]) -> F4:
        """f4[K, C]: the embeddings of `texts` in their order, as rows of length 1. Raises TypeError for a
        single string, and TextError as `limits.require_text`. What is left out of a long text is said by a
        CutText warning."""
        if isinstance(texts, str):
            raise TypeError("encode takes a sequence of texts, not one string")
        for text in texts:
            if text not in self._known:
                limits.require_text(text)
                self._known[text] = self.embed(text)
                if left_out := self.beyond(text):
                    limits.warn(text, left_out)
        if not texts:
            return np.zeros((0, self.width), np.float32)
        return np.stack([self._known[text] for text in texts])

    @abstractmethod
    def embed(self, text: str) -> F4:
        """f4[C]: the embedding of one text, of length 1. Unlike `encode` it remembers nothing."""

    def tokens(self, texts: Sequence[str], length: int | None = None) -> Tokens:
        """Not offered, since a Stable Diffusion pipeline brings its own text tower. Raises TextError."""
        raise TextError(
            f"{self.name} offers no token states; set `text.encoder: minilm` for the demo's synthesis"
        )

    def beyond(self, text: str) -> str:
        """The end of the text that the encoder does not read; empty where it reads all."""
        return ""


def of_length_1(vector: Floats) -> F4:
    """f4[C]: `vector` divided by its length."""
    single = vector.astype(np.float32)
    scaled: F4 = single / np.linalg.norm(single)
    return scaled
