"""What classes are: their names, and what WordNet says of them, for texts to be compared with."""

from __future__ import annotations

import csv
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from anyscene.arrays import B1, F4
from anyscene.text import TextEncoder, embeddings

FILE = Path(__file__).parent / "wordnet" / "glosses.csv"


@functools.cache
def glosses() -> dict[str, str]:
    """Of each class of the indoor label sets that has one: for "bed", "a piece of furniture that provides a
    place to sleep"."""
    with FILE.open(newline="") as file:
        return {row["name"]: row["gloss"] for row in csv.DictReader(file)}


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """V classes. glosses: their definitions, None where WordNet has none for them; name f4[V, C]: embeddings,
    of length 1, of the names in the template, with which features are compared; gloss f4[V, C]: those of the
    glosses, of a class without one that of its name."""

    names: tuple[str, ...]
    glosses: tuple[str | None, ...]
    name: F4
    gloss: F4

    @classmethod
    def of(cls, encoder: TextEncoder, names: Sequence[str], template: str) -> Vocabulary:
        """Of the classes `names`, in the text space of `encoder`."""
        known, name = tuple(glosses().get(one) for one in names), embeddings(encoder, names, template)
        gloss = name.copy()
        there = {index: one for index, one in enumerate(known) if one is not None}
        gloss[list(there)] = encoder.encode(list(there.values()))
        return cls(tuple(names), known, name, gloss)

    @functools.cached_property
    def common(self) -> F4:
        """f4[C], of length 1: what all names have in common, the direction of their mean."""
        mean: F4 = self.name.mean(0)
        return np.asarray(mean / np.linalg.norm(mean))

    def likeness(self, text: F4) -> F4:
        """f4[V]: the cosine of a text [C] of length 1 with each class, by what is closer, its name or its
        gloss. A text may call a thing by its name or say what it is for, and rarely does both."""
        closer: F4 = np.maximum(self.name @ text, self.gloss @ text)
        return closer

    def by_gloss(self, text: F4) -> B1:
        """b1[V]: whether a text [C] is closer to the gloss of each class than to its name."""
        by_gloss: B1 = self.gloss @ text > self.name @ text
        return by_gloss
