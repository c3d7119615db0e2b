"""How sure the scores are: the scenes drawn again, with replacement (Efron 1979)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anyscene.tasks.segmentation.metrics import Unpredicted, mean_iou


@dataclass(frozen=True)
class Interval:
    """What a figure is over the resamples."""

    mean: float
    low: float  # the 2.5th percentile
    high: float  # the 97.5th percentile

    @classmethod
    def of(cls, values: np.ndarray) -> Interval:
        low, high = np.percentile(values, [2.5, 97.5])
        return cls(float(values.mean()), float(low), float(high))


def draws(scenes: int, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """i8[B, S]: how often each of S scenes is in each of B samples of S scenes."""
    return rng.multinomial(scenes, np.full(scenes, 1 / scenes), resamples)


def resampled_miou(matrices: np.ndarray, draw: np.ndarray, unpredicted: Unpredicted) -> np.ndarray:
    """f8[B] mIoU in percent of every sample `draw` [B, S].

    matrices: i8[P, S, K, K+1], confusion in each scene of P variants (permutations) of a row; the result is
    their mean. Rows resampled with the same `draw` may be subtracted: the differences are paired.
    """
    scores = np.zeros(len(draw))
    for variant in matrices:
        sums = (draw @ variant.reshape(len(variant), -1)).reshape(-1, *variant.shape[1:])
        scores += mean_iou(sums, unpredicted)
    return scores / len(matrices)
