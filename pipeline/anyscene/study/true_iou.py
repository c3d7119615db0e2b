"""What a 2D model really knows: its IoU on annotated frames, and whether its measured capability agrees."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import numpy as np
from scipy.stats import spearmanr

from anyscene.arrays import F8, I8, U1
from anyscene.project.device import Batches
from anyscene.segmenters import Segmenter
from anyscene.tasks.segmentation.metrics import confusion, per_class


def iou(matrix: I8) -> F8:
    """f8[V]: the IoU in 0..1 of each class of the vocabulary; NaN where no pixel has the class. matrix: i8[V
    + 1, V + 2], the sum of what `compared` returns."""
    return per_class(matrix)[0][: len(matrix) - 1]


def compared(
    segmenter: Segmenter,
    frames: Iterable[tuple[U1, U1]],
    names: Sequence[str],
    vocabulary: Sequence[str],
    batch: int,
) -> I8:
    """i8[V + 1, V + 2]: how many pixels with a label have each class, by what the model says of them. The
    last row and the last column but one are classes outside the vocabulary; in the last column the model says
    nothing.

    frames: (image u1[H, W, 3], truth u1[H, W], an index into `names`, 255 = none). batch: how many frames go
    through the model at a time. The model chooses among the vocabulary, as when its capability is measured;
    pixels of other classes can only be false positives.
    """
    elsewhere = len(vocabulary)
    row = np.full(256, -1, np.int16)  # of a truth value, in the vocabulary
    for index, name in enumerate(names):
        row[index] = vocabulary.index(name) if name in vocabulary else elsewhere
    matrix = np.zeros((elsewhere + 1, elsewhere + 2), np.int64)
    frames, batches = iter(frames), Batches(batch, "segmenters.batch")
    while group := list(itertools.islice(frames, batch)):
        images = np.stack([image for image, _ in group])
        said = batches(lambda some: segmenter.label(some, vocabulary), images)
        for label, (_, truth) in zip(itertools.chain.from_iterable(said), group, strict=True):
            matrix += confusion(row[truth].ravel(), label.ravel(), elsewhere + 1)
    return matrix


def agreement(capability: F8, truth: F8) -> float | None:
    """Spearman's rank correlation of capability f8[V] and true IoU f8[V] over the classes whose truth is
    known; None where fewer than three are known, or where either is the same for all classes."""
    known = np.isfinite(truth)
    a, b = capability[known], truth[known]
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(spearmanr(a, b).statistic)


def known_classes(names: Sequence[str] | None, vocabulary: Sequence[str]) -> F8 | None:
    """f8[V]: 1 for each of the `names` that a 2D model was taught, else 0; None where these are not known."""
    return None if names is None else np.array([float(name in names) for name in vocabulary])
