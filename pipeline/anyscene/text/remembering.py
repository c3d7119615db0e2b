"""What text encoders have in common: they embed each text by itself, and once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from anyscene.arrays import F4, Floats
from anyscene.text import limits


class Remembering(ABC):
    """An encoder that embeds each distinct text once in its life."""

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
                if left_out := self.beyond(text):
                    limits.warn(text, left_out)
                self._known[text] = self.embed(text)
        if not texts:
            return np.zeros((0, self.width), np.float32)
        return np.stack([self._known[text] for text in texts])

    @abstractmethod
    def embed(self, text: str) -> F4:
        """f4[C]: the embedding of one text, of length 1. Unlike `encode` it remembers nothing."""

    def beyond(self, text: str) -> str:
        """The end of the text that the encoder does not read; empty where it reads all, or says so itself."""
        return ""


def of_length_1(vector: Floats) -> F4:
    """f4[C]: `vector` divided by its length."""
    single = vector.astype(np.float32)
    scaled: F4 = single / np.linalg.norm(single)
    return scaled
