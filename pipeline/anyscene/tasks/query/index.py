"""What texts are compared with: single points, and superpoints by the means of all their points."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from anyscene.arrays import B1, F4, I4, I8
from anyscene.fusion import SuperpointMeans
from anyscene.tasks.features import Features
from anyscene.tasks.query import similarity
from anyscene.tasks.query.similarity import By
from anyscene.text.glosses import Vocabulary

LARGEST = 127  # the largest signed byte
ROWS = 1 << 11  # rows that are widened to f4 at a time, so that a cache holds them


@dataclass(frozen=True, eq=False)
class QuantisedFeatures:
    """Features of length 1, each in whole 127ths of its largest value.

    On 200,000 points of the demo, a cosine of 384 channels is off by 0.0003 on average and by 0.002 at most,
    where heat spans 0.15.
    """

    values: torch.Tensor  # i1[M, C]
    length: F4  # f4[M], of the rows of `values`; 0 for a feature of zeros

    @classmethod
    def empty(cls, count: int, width: int) -> QuantisedFeatures:
        """Features that are zero until `put` fills them."""
        return cls(torch.zeros((count, width), dtype=torch.int8), np.zeros(count, np.float32))

    @property
    def shape(self) -> tuple[int, int]:
        """(M, C)."""
        count, width = self.values.shape
        return count, width

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: I8) -> F4:
        """f4[n, C]: the features of the rows i8[n], of length 1."""
        values = self.values[torch.from_numpy(rows)].numpy()
        feature: F4 = np.divide(values, np.maximum(self.length[rows, None], 1))
        return feature

    def put(self, start: int, block: torch.Tensor) -> None:
        """Put features f4[n, C] into the rows from `start` on."""
        step = block.abs().amax(1, keepdim=True) / LARGEST
        whole = (block / step.clamp_min(torch.finfo(torch.float32).tiny)).round_()
        self.values[start : start + len(block)] = whole
        self.length[start : start + len(block)] = torch.linalg.vector_norm(whole, dim=1)

    def cosines(self, text: F4) -> Iterator[tuple[int, F4]]:
        """Yield (first row, f4[n, K]) for blocks of rows: their cosines with texts f4[K, C] of length 1."""
        columns = torch.from_numpy(text.T.copy())
        for start in range(0, len(self), ROWS):
            end = min(start + ROWS, len(self))
            product = (self.values[start:end].float() @ columns).numpy()
            cosine: F4 = np.divide(product, np.maximum(self.length[start:end], 1)[:, None])
            yield start, cosine


@dataclass(frozen=True, eq=False)
class IndexedPoints:
    """M points that texts are compared with one by one."""

    classes: Vocabulary
    points: I8  # i8[M], which points they are, in rising order
    feature: QuantisedFeatures  # [M, C]
    known: torch.Tensor  # f2[M, V + 1], shares of the classes, and the cosine with what these have in common
    valid: B1  # b1[M], whether a point has a feature

    def scores(self, texts: F4, by: By = By.both) -> F4:
        """f4[M, K]: the score of each point for texts f4[K, C] of length 1, NaN where it has no feature."""
        share, weight = similarity.weights(self.classes, texts, by)
        columns = torch.from_numpy(weight)
        score = np.empty((len(self.points), len(texts)), np.float32)
        for start, block in self.feature.cosines(texts):
            end = start + len(block)
            score[start:end] = share * block + (self.known[start:end].float() @ columns).numpy()
        score[~self.valid] = np.nan
        return score


@dataclass(frozen=True, eq=False)
class Index:
    """What one source of features knows of a scene's points, to be compared with any text.

    Scores are linear in what is known of a point, so the score of a superpoint's mean is the mean of its
    points' scores.
    """

    classes: Vocabulary
    sample: IndexedPoints  # that tell how the scores of the scene are spread, whatever is drawn
    drawn: IndexedPoints  # whose scores are drawn
    mean: F4  # f4[L, C], of features of length 1
    mean_known: F4  # f4[L, V + 1]
    count: I8  # i8[L], how many points of each superpoint have a feature

    @classmethod
    def of(
        cls,
        features: Features,
        superpoint: I4,
        classes: Vocabulary,
        sample: I8,
        drawn: I8 | None = None,
        once: B1 | None = None,
    ) -> Index:
        """Build the index in one pass over the features, with little more memory than is kept.

        superpoint: i4[N], empty where there are none yet; sample, drawn: i8[M] each, in rising order; without
        `drawn` the sample is drawn. once: b1[N], the points that enter means; None: all."""
        counted = features.valid if once is None else features.valid & once
        names = np.vstack([classes.name, classes.common])
        columns, width = torch.from_numpy(names.T.copy()), names.shape[1]
        kept = [_Filling(sample, width, len(names))]
        if drawn is not None and not np.array_equal(drawn, sample):
            kept.append(_Filling(drawn, width, len(names)))
        superpoints = int(superpoint.max(initial=-1)) + 1
        count = np.bincount(superpoint[features.valid[: len(superpoint)]], minlength=superpoints)
        means, start = SuperpointMeans(superpoints, width + len(names)), 0
        for block in features.blocks():
            end = start + len(block)
            unit = torch.nn.functional.normalize(block)
            like = (unit @ columns).numpy()
            like[:, :-1] = similarity.shares(like[:, :-1])
            if len(superpoint):
                told = np.hstack([unit.numpy(), like])
                means.add(superpoint[start:end], told, counted[start:end])
            for each in kept:
                each.take(start, block, torch.from_numpy(like))
            start = end
        mean, _ = means.result()
        sampled, *others = (each.filled(classes, features.valid) for each in kept)
        shown = others[0] if others else sampled
        return cls(classes, sampled, shown, mean[:, :width].copy(), mean[:, width:].copy(), count)

    def superpoints(self, texts: F4, by: By = By.both) -> F4:
        """f4[L, K]: the score of each superpoint for texts f4[K, C] of length 1, the mean over its points;
        NaN where none has a feature."""
        share, weight = similarity.weights(self.classes, texts, by)
        score = share * (self.mean @ texts.T) + self.mean_known @ weight
        score[self.count == 0] = np.nan
        return score

    @functools.cached_property
    def shows(self) -> I8:
        """i8[L]: the class with the highest mean cosine, -1 where no point has a feature."""
        return np.where(self.count > 0, (self.mean @ self.classes.name.T).argmax(1), -1)


class _Filling:
    """Collects IndexedPoints from the blocks of all points."""

    def __init__(self, points: I8, width: int, columns: int) -> None:
        self._points, self._next = points, 0
        self._feature = QuantisedFeatures.empty(len(points), width)
        self._known = torch.empty((len(points), columns), dtype=torch.float16)

    def take(self, start: int, block: torch.Tensor, known: torch.Tensor) -> None:
        """Keep what is asked for of a block of points, of which `start` is the first. block: f4[n, C]; known:
        f4[n, V + 1]."""
        last = int(np.searchsorted(self._points, start + len(block)))
        inside = torch.from_numpy(self._points[self._next : last] - start)
        self._feature.put(self._next, block[inside])
        self._known[self._next : last] = known[inside]
        self._next = last

    def filled(self, classes: Vocabulary, valid: B1) -> IndexedPoints:
        return IndexedPoints(classes, self._points, self._feature, self._known, valid[self._points])
