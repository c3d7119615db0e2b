"""Features in few bytes: places along the principal axes of a scene, in whole steps.

Features of a 2D model vary along few directions, and along most of the others by less than anybody reads from
them. So a scene keeps its own axes, and of every feature its place along each in whole steps, all of one
length. That is what loses the least for the bytes of an entropy coder (reverse water-filling: Cover & Thomas,
Elements of Information Theory, 10.3.3); zstd is the coder.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anyscene.arrays import F4, F8, I2, Integers

ERROR = (
    1e-5  # 1 - cosine between a feature and what is read back, on average; that of the float16 store at most
)
MOST = np.iinfo(np.int16).max  # steps along an axis


class Moments:
    """What the axes of features are computed from, added up a few features at a time. Rows of zeros are no
    features."""

    def __init__(self, width: int) -> None:
        self.count, self.total, self.product = 0, np.zeros(width), np.zeros((width, width))
        self.longest = 0.0  # the square of the largest length

    def add(self, feature: F4) -> None:
        """Add f4[n, C]."""
        feature = feature[feature.any(1)]
        self.count += len(feature)
        self.total += feature.sum(0, dtype=np.float64)
        self.product += feature.T @ feature
        self.longest = max(self.longest, float(np.einsum("nc,nc->n", feature, feature).max(initial=0)))


@dataclass(frozen=True, eq=False)
class PrincipalAxes:
    """The axes of the features of a scene. Row 0 is the mean, of which every feature has 1; the others are
    orthogonal, each as long as a step along it."""

    rows: F4  # f4[1 + K, C]

    @classmethod
    def of(cls, moments: Moments) -> PrincipalAxes:
        """All C axes, with the step that makes an error of ERROR."""
        count = max(1, moments.count)
        mean: F8 = moments.total / count
        variance, axes = np.linalg.eigh(moments.product / count - np.outer(mean, mean))  # rising, in columns
        step = _step(np.maximum(variance, 0), 2 * ERROR * float(np.trace(moments.product)) / count)
        farthest = moments.longest**0.5 + float(np.linalg.norm(mean))
        step = max(step, farthest / MOST)
        return cls(np.concatenate([[mean], step * axes.T[::-1]]).astype(np.float32))

    def places(self, feature: F4) -> I2:
        """i2[n, 1 + K] of features f4[n, C]: the nearest whole places. A row of zeros has zeros."""
        axes = self.rows[1:]
        square = np.maximum(np.einsum("kc,kc->k", axes, axes), np.finfo(np.float32).tiny)
        place = np.rint((feature - self.rows[0]) @ (axes / square[:, None]).T)
        whole = np.concatenate([np.ones((len(feature), 1)), place], 1).astype(np.int16)
        whole[~feature.any(1)] = 0
        return whole


def formed(place: Integers, rows: F4) -> F4:
    """f4[n, C]: the features at places [n, 1 + K] along the axes f4[1 + K, C]."""
    feature: F4 = place.astype(np.float32) @ rows
    return feature


def _step(variance: F8, error: float) -> float:
    """The step by which places along axes of these variances have a mean squared error of `error` together:
    step^2 / 12 along an axis, or its variance where that is less."""
    low, high = 0.0, float(variance.max(initial=0))
    if variance.sum() <= error:
        return float(np.sqrt(12 * high)) or 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if np.minimum(variance, middle).sum() < error else (low, middle)
    return float(np.sqrt(12 * high))
