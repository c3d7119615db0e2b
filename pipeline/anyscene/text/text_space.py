"""Features as the texts that they are compared with see them: the same predictions in a tenth of the
width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from anyscene.arrays import B1, F4, I2, I8, Floats, Integers
from anyscene.datasets import LabelSet
from anyscene.text import TextEncoder, embeddings

if TYPE_CHECKING:
    from anyscene.project.artefact import Stored

BLOCK = 1 << 16  # rows that are reduced at a time


@dataclass(frozen=True, eq=False)
class Prediction:
    """The labels of N points that one way from 2D models to labels gives; -1 = none."""

    label: I2  # i2[N], among all classes
    foreground: I2  # i2[N], among the foreground classes only
    others: tuple[Prediction, ...] = ()  # by other label sets

    def at(self, place: Integers) -> Prediction:
        """The labels of points, each from the place i[N] among these."""
        return Prediction(
            self.label[place], self.foreground[place], tuple(other.at(place) for other in self.others)
        )


@dataclass(frozen=True, eq=False)
class Prompts:
    """The texts of a label set in a text space."""

    label_set: LabelSet
    text: F4  # f4[P, r+1], in the basis of the space

    @cached_property
    def _foreground(self) -> I8:
        return self.label_set.prompts_among(np.flatnonzero(self.label_set.foreground))

    def closest(self, reduced: F4, valid: B1 | None = None) -> Prediction:
        """The class of the most similar prompt for each row f4[N, r+1]; -1 where not `valid` b1[N]."""
        score, among = reduced @ self.text.T, self._foreground  # [N, P]
        prompt, foreground = score.argmax(1), np.full(len(score), -1)
        if len(among):
            foreground = among[score[:, among].argmax(1)]
        if valid is not None:
            prompt[~valid] = foreground[~valid] = -1
        label, fore = (self.label_set.of_prompts(p).astype(np.int16) for p in (prompt, foreground))
        return Prediction(label, fore)


def together(of_sets: Sequence[Prediction]) -> Prediction:
    """The predictions by several label sets as those by the first, with the others beside them."""
    first, *others = of_sets
    return Prediction(first.label, first.foreground, tuple(others))


class TextSpace:
    """The span of the embeddings of label sets and a vocabulary.

    Evaluation uses only the products of a feature with these texts, and its length. Both stay the same when
    the feature is written in an orthonormal basis of the span, of r vectors, followed by the length of what
    lies outside. As far as products go, sums of features are sums of such rows, so that fusion and means over
    superpoints can work on r + 1 numbers for each point instead of C.
    """

    def __init__(
        self,
        labels: F4,
        vocabulary: F4,
        label_set: LabelSet,
        others: Sequence[tuple[F4, LabelSet]] = (),
    ) -> None:
        """labels: f4[P, C], the embeddings of the prompts of `label_set`. vocabulary: f4[V, C]. others: those
        of other label sets."""
        texts = np.concatenate([labels, *(text for text, _ in others), vocabulary]).astype(np.float64)
        _, length, axes = np.linalg.svd(texts, full_matrices=False)
        self._basis = axes[length > 1e-6 * length[0]].T.astype(np.float32)  # [C, r]
        # f4[P, r+1] and f4[V, r+1], both in the basis of the span
        self.labels, self.vocabulary = self._inside(labels), self._inside(vocabulary)
        # of the label set, then of the others
        self.prompts = tuple(Prompts(of, self._inside(text)) for text, of in ((labels, label_set), *others))

    @classmethod
    def of(
        cls,
        encoder: TextEncoder,
        label_set: LabelSet,
        vocabulary: tuple[str, ...],
        template: str,
        others: Sequence[LabelSet] = (),
    ) -> TextSpace:
        """The space of the prompts of the label sets and the names of the vocabulary, each in `template`."""
        return cls(
            embeddings(encoder, label_set.prompts, template),
            embeddings(encoder, vocabulary, template),
            label_set,
            [(embeddings(encoder, other.prompts, template), other) for other in others],
        )

    def _inside(self, text: F4) -> F4:
        return np.pad(text @ self._basis, ((0, 0), (0, 1))).astype(np.float32)

    @property
    def width(self) -> int:
        """C, the width of the features that can be reduced."""
        return len(self._basis)

    def reduce(self, feature: Floats | Stored) -> F4:
        """f4[N, r+1]: the rows for features [N, C]. These are an array, or one of an artefact, which is read
        in blocks."""
        reduced = np.empty((feature.shape[0], self._basis.shape[1] + 1), np.float32)
        for start in range(0, len(reduced), BLOCK):
            block = np.asarray(feature[start : start + BLOCK], np.float32)
            inside = block @ self._basis
            outside = np.einsum("nc,nc->n", block, block) - np.einsum("nr,nr->n", inside, inside)
            reduced[start : start + BLOCK, :-1] = inside
            reduced[start : start + BLOCK, -1] = np.sqrt(np.maximum(outside, 0))
        return reduced

    def predict(self, reduced: F4, valid: B1 | None = None) -> Prediction:
        """The class of the most similar prompt for each row f4[N, r+1], among all classes and among the
        foreground ones; -1 where not `valid` b1[N]. So for each label set."""
        return together([prompts.closest(reduced, valid) for prompts in self.prompts])
