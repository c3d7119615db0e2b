"""How similar a feature is to a free text: by itself, through the classes that it shows, or both.

Every score is linear in what is known of a point: its cosine with the text, and `known` [V + 1], its shares
of V classes and its cosine with what all classes have in common. So the score of a mean is the mean of
scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import numpy as np

from anyscene.text.glosses import Vocabulary

TEMPERATURE = 0.03  # of the softmax over classes: cosines of the demo's features differ by about as much


class By(StrEnum):
    """How a point is compared with a text."""

    both = "both"
    cosine = "cosine"
    vocabulary = "vocabulary"


def cosine(feature: np.ndarray, valid: np.ndarray, text: np.ndarray) -> np.ndarray:
    """f4[N, K] similarity of features [N, C] with embeddings [K, C], or f4[N] with one [C]; NaN where not
    valid b1[N]."""
    length = np.linalg.norm(feature, axis=1, keepdims=True) * np.linalg.norm(np.atleast_2d(text), axis=1)
    similarity = feature @ np.atleast_2d(text).T / np.maximum(length, 1e-12)
    similarity = np.where(valid[:, None], similarity, np.nan).astype(np.float32)
    return similarity if text.ndim == 2 else similarity[:, 0]


def shares(similarity: np.ndarray) -> np.ndarray:
    """f4[N, V]: how much of each class a point shows, a softmax over its similarities f4[N, V] with their
    names. NaN stays NaN."""
    share = np.exp((similarity - similarity.max(1, keepdims=True)) / TEMPERATURE)
    share /= share.sum(1, keepdims=True)
    return share


def through_vocabulary(classes: Vocabulary, texts: np.ndarray) -> np.ndarray:
    """f4[V + 1, K]: what each column of `known` counts where texts [K, C] are found through the classes that
    a point shows: their likeness with the text. Coarser than the cosine, and less noisy: what tells features
    of one class apart is left out."""
    return np.array([[*classes.likeness(text), 0] for text in texts], np.float32).T


def own(classes: Vocabulary, texts: np.ndarray) -> np.ndarray:
    """f4[V + 1, K]: what each column of `known` counts beside the cosine with texts [K, C]: off goes what the
    text has in common with all classes. A feature between several classes is closest of all to what they
    share, so that otherwise points that are sure of nothing would resemble any text."""
    nothing = [0.0] * len(classes.names)
    return np.array([[*nothing, -(classes.common @ text)] for text in texts], np.float32).T


def weights(classes: Vocabulary, texts: np.ndarray, by: By) -> tuple[float, np.ndarray]:
    """What makes up a score: how much the cosine counts, and how much each column of `known`, f4[V + 1, K].

    `both` is the mean of the two. A text that resembles a class is found by that; one that resembles none, or
    tells things of a class apart, is found by the features."""
    if by is By.cosine:
        return 1.0, np.zeros((len(classes.names) + 1, len(texts)), np.float32)
    through = through_vocabulary(classes, texts)
    if by is By.vocabulary:
        return 0.0, through
    return 0.5, (through + own(classes, texts)) / 2


def closer_to(
    negative: Sequence[np.ndarray],
    positive: np.ndarray,
    ranges: Sequence[tuple[float, float]] | None = None,
) -> np.ndarray:
    """b1[N]: whether one of the texts that are not meant, of similarities [N] each, stands out more at a
    point than the text that is, of similarity [N]. In `relative` terms, as a short text may be closer to all
    points than a long one. No more is asked of them: their difference as a score would let any text, however
    far off, change the order of what is found.

    ranges: `range_of` the text and of each that is not meant, over all of the scene; None: over these points.
    """
    if len(negative) == 0:
        return np.zeros(len(positive), bool)
    first, *others = ranges or [range_of(each) for each in (positive, *negative)]
    heat = relative(positive, first)
    return np.any([relative(each, its) > heat for each, its in zip(negative, others, strict=True)], axis=0)


def deviation(similarity: np.ndarray) -> float:
    """The standard deviation of what is known of f4[N], NaN where nothing is; 0 where all is NaN."""
    known = similarity[np.isfinite(similarity)]
    return float(known.std(dtype=np.float64)) if known.size else 0.0


def range_of(similarity: np.ndarray) -> tuple[float, float]:
    """Median and 99.5th percentile of what is known of f4[N], NaN where nothing is; (0, 0) where all is."""
    known = similarity[np.isfinite(similarity)]
    return tuple(np.percentile(known, [50, 99.5]).tolist()) if known.size else (0.0, 0.0)


def relative(similarity: np.ndarray, within: tuple[float, float] | None = None) -> np.ndarray:
    """f4[N] in 0..1 for colours: 0 up to the scene's median and for NaN, 1 from its 99.5th percentile on.
    Cosines of sentence encoders have no absolute scale. within: both, where these points are not all."""
    low, high = within or range_of(similarity)
    return np.nan_to_num(np.clip((similarity - low) / max(high - low, 1e-6), 0, 1)).astype(np.float32)
