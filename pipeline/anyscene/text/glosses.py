"""The texts that classes are compared by: their names, and their definitions in WordNet."""

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
    """The definition of each class of the indoor label sets that has one, by its name: for "bed", "a piece of
    furniture that provides a place to sleep"."""
    with FILE.open(newline="", encoding="utf-8") as file:
        return {row["name"]: row["gloss"] for row in csv.DictReader(file)}


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """V classes."""

    names: tuple[str, ...]
    glosses: tuple[str | None, ...]  # the definitions; None where WordNet has none
    name: F4  # f4[V, C], embeddings of the names in the template; features are compared with these
    gloss: F4  # f4[V, C], embeddings of the glosses; of the name where there is no gloss

    @classmethod
    def of(cls, encoder: TextEncoder, names: Sequence[str], template: str) -> Vocabulary:
        """The classes `names`, in the text space of `encoder`. template: a sentence for names, with one
        {}."""
        known, name = tuple(glosses().get(one) for one in names), embeddings(encoder, names, template)
        gloss = name.copy()
        there = {index: one for index, one in enumerate(known) if one is not None}
        gloss[list(there)] = encoder.encode(list(there.values()))
        return cls(tuple(names), known, name, gloss)

    @functools.cached_property
    def common(self) -> F4:
        """f4[C], of length 1: what all names have in common, which is the direction of their mean."""
        mean: F4 = self.name.mean(0)
        return np.asarray(mean / np.linalg.norm(mean))

    def likeness(self, text: F4) -> F4:
        """f4[V]: the cosine of a text f4[C] of length 1 with each class, that of its name or that of its
        gloss, whichever is larger. A text may call a thing by its name or say what it is for, and rarely does
        both."""
        closer: F4 = np.maximum(self.name @ text, self.gloss @ text)
        return closer

    def by_gloss(self, text: F4) -> B1:
        """b1[V]: whether a text f4[C] is closer to the gloss of each class than to its name."""
        by_gloss: B1 = self.gloss @ text > self.name @ text
        return by_gloss
