"""How certain scores are: the bootstrap draws the scenes again, with replacement (Efron 1979)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anyscene.arrays import F8, I8
from anyscene.tasks.segmentation.metrics import Unpredicted, mean_iou


@dataclass(frozen=True)
class Interval:
    """How a figure varies over the resamples."""

    mean: float
    low: float  # the 2.5th percentile
    high: float  # the 97.5th percentile

    @classmethod
    def of(cls, values: F8) -> Interval:
        """The interval of the values f8[B] of a figure."""
        low, high = np.percentile(values, [2.5, 97.5])
        return cls(float(values.mean()), float(low), float(high))


def draws(scenes: int, resamples: int, rng: np.random.Generator) -> I8:
    """i8[B, S]: how often each of S scenes is in each of B samples of S scenes."""
    return rng.multinomial(scenes, np.full(scenes, 1 / scenes), resamples)


def resampled_miou(matrices: I8, draw: I8, unpredicted: Unpredicted) -> F8:
    """f8[B]: the mIoU in percent of every sample.

    matrices: i8[P, S, K, K+1], the confusion of P variants (permutations) of a row in each scene; the result
    is the mean over the variants. draw: i8[B, S], how often each scene is in each sample. Results for several
    rows may be subtracted where they come from the same `draw`, because the differences are then paired.
    """
    scores = np.zeros(len(draw))
    for variant in matrices:
        sums = (draw @ variant.reshape(len(variant), -1)).reshape(-1, *variant.shape[1:])
        scores += mean_iou(sums, unpredicted)
    return scores / len(matrices)
