"""How certain scores are: the bootstrap draws the scenes again, with replacement (Efron 1979)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anyscene.arrays import F8, I8, Integers
from anyscene.tasks.segmentation.metrics import counted_miou


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


def resampled_miou(counts: Integers, draw: I8) -> F8:
    """f8[B]: the mIoU in percent of every sample.

    counts: i[P, S, 3, K], those of `metrics.class_counts` for P variants (permutations) of a row in each
    scene; the result is the mean over the variants. draw: i8[B, S], how often each scene is in each sample.
    Results for several rows may be subtracted where they come from the same `draw`, because the differences
    are then paired.
    """
    scores, times = np.zeros(len(draw)), draw.astype(np.float64)
    for variant in counts:  # products of whole numbers below 2 ** 53 are exact, and those of floats fast
        sums = times @ variant.reshape(len(variant), -1).astype(np.float64)
        scores += counted_miou(sums.reshape(-1, *variant.shape[1:]))
    return scores / len(counts)
