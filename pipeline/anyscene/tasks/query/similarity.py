"""How similar a feature is to a free text: directly, through the classes that it shows, or both.

Every score is linear in what is known of a point: its cosine with the text; and `known` [V + 1], which are
its shares of V classes and its cosine with what all classes have in common. So the score of a mean is the
mean of the scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import numpy as np

from anyscene.arrays import B1, F4
from anyscene.text.glosses import Vocabulary

TEMPERATURE = 0.03  # of the softmax over classes; cosines of the demo's features differ by about as much
SAMPLE = 100_000  # at most so many points tell how the scores of a scene are spread


class By(StrEnum):
    """How a point is compared with a text."""

    both = "both"
    cosine = "cosine"
    vocabulary = "vocabulary"


def cosine(feature: F4, valid: B1, text: F4) -> F4:
    """f4[N, K]: the cosines of features f4[N, C] with embeddings f4[K, C]; or f4[N] with one embedding f4[C].
    NaN where a feature is not valid b1[N]."""
    length = np.linalg.norm(feature, axis=1, keepdims=True) * np.linalg.norm(np.atleast_2d(text), axis=1)
    similarity = feature @ np.atleast_2d(text).T / np.maximum(length, 1e-12)
    similarity = np.where(valid[:, None], similarity, np.nan).astype(np.float32)
    return similarity if text.ndim == 2 else similarity[:, 0]


def shares(similarity: F4) -> F4:
    """f4[N, V]: how much of each class a point shows, by a softmax over its similarities f4[N, V] with the
    names of the classes. NaN stays NaN."""
    share = np.exp((similarity - similarity.max(1, keepdims=True)) / TEMPERATURE)
    share /= share.sum(1, keepdims=True)
    shown: F4 = share
    return shown


def through_vocabulary(classes: Vocabulary, texts: F4) -> F4:
    """f4[V + 1, K]: what each column of `known` counts where texts f4[K, C] are found through the classes
    that a point shows, which is the likeness of the class with the text. This is coarser than the cosine and
    less noisy, because it leaves out what tells features of one class apart."""
    return np.array([[*classes.likeness(text), 0] for text in texts], np.float32).T


def own(classes: Vocabulary, texts: F4) -> F4:
    """f4[V + 1, K]: what each column of `known` counts beside the cosine with texts f4[K, C]. It takes off
    what a text has in common with all classes. A feature between several classes is closest to what they
    share, so otherwise points that show no class clearly would resemble any text."""
    nothing = [0.0] * len(classes.names)
    return np.array([[*nothing, -(classes.common @ text)] for text in texts], np.float32).T


def weights(classes: Vocabulary, texts: F4, by: By) -> tuple[float, F4]:
    """What a score consists of: how much the cosine counts, and how much each column of `known` counts,
    f4[V + 1, K].

    `both` is the mean of the two. A text that resembles a class is found through that class. A text that
    resembles none, or tells things of one class apart, is found by the features."""
    if by is By.cosine:
        return 1.0, np.zeros((len(classes.names) + 1, len(texts)), np.float32)
    through = through_vocabulary(classes, texts)
    if by is By.vocabulary:
        return 0.0, through
    both: F4 = (through + own(classes, texts)) / np.float32(2)
    return 0.5, both


def closer_to(
    negative: Sequence[F4],
    positive: F4,
    ranges: Sequence[tuple[float, float]] | None = None,
) -> B1:
    """b1[N]: whether a negative text stands out more at a point than the text that is looked for. positive:
    f4[N], similarities of that text; negative: f4[N] each, similarities of the others.

    Similarities are compared in `relative` terms, because a short text may be closer to all points than a
    long one. Negative texts only leave points out: if their similarity were subtracted from the score, any
    text, however far off, would change the order of what is found.

    ranges: `range_of` the text and of each negative one over the whole scene; None: over these points.
    """
    if len(negative) == 0:
        return np.zeros(len(positive), bool)
    first, *others = ranges or [range_of(each) for each in (positive, *negative)]
    heat = relative(positive, first)
    out: B1 = np.any([relative(each, its) > heat for each, its in zip(negative, others, strict=True)], axis=0)
    return out


def deviation(similarity: F4) -> float:
    """The standard deviation of f4[N] without the NaN in it; 0 where all is NaN."""
    known = similarity[np.isfinite(similarity)]
    return float(known.std(dtype=np.float64)) if known.size else 0.0


def range_of(similarity: F4) -> tuple[float, float]:
    """The median and the 99.5th percentile of f4[N] without the NaN in it; (0, 0) where all is NaN."""
    known = similarity[np.isfinite(similarity)]
    return tuple(np.percentile(known, [50, 99.5]).tolist()) if known.size else (0.0, 0.0)


def relative(similarity: F4, within: tuple[float, float] | None = None) -> F4:
    """f4[N] in 0..1, for colours: 0 up to the median of the scene and for NaN, 1 from its 99.5th percentile
    on. Cosines of sentence encoders have no absolute scale. within: median and percentile of the whole scene,
    where these points are only a part of it."""
    low, high = within or range_of(similarity)
    heat: F4 = np.nan_to_num(np.clip((similarity - low) / max(high - low, 1e-6), 0, 1)).astype(np.float32)
    return heat
