"""What texts are compared with: points one by one, superpoints by the mean of all their points."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch

from anyscene.fusion import SuperpointMeans
from anyscene.tasks.features import Features
from anyscene.tasks.query import similarity
from anyscene.tasks.query.quantised import QuantisedFeatures
from anyscene.tasks.query.similarity import By
from anyscene.text.glosses import Vocabulary


@dataclass(frozen=True, eq=False)
class IndexedPoints:
    """M points that texts are compared with one by one."""

    classes: Vocabulary
    points: np.ndarray  # i8[M], which they are, in rising order
    feature: QuantisedFeatures  # [M, C]
    known: torch.Tensor  # f2[M, V + 1], shares of the classes, and the cosine with what these have in common
    valid: np.ndarray  # b1[M], whether a point has a feature

    def scores(self, texts: np.ndarray, by: By = By.both) -> np.ndarray:
        """f4[M, K] with texts [K, C] of length 1, NaN without a feature."""
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
    """All that is known of a scene's points by one source, for any text.

    Scores of superpoints are those of the means of their points, so they are the means of their scores.
    """

    classes: Vocabulary
    sample: IndexedPoints  # by which scores of the scene are spread, whatever is drawn
    drawn: IndexedPoints  # of which colours are asked
    mean: np.ndarray  # f4[L, C], of features of length 1
    mean_known: np.ndarray  # f4[L, V + 1]
    count: np.ndarray  # i8[L], points with a feature of each superpoint

    @classmethod
    def of(
        cls,
        features: Features,
        superpoint: np.ndarray,
        classes: Vocabulary,
        sample: np.ndarray,
        drawn: np.ndarray | None = None,
    ) -> Index:
        """In one pass, and little more memory than is kept.

        superpoint: i4[N], empty where there are none yet; sample, drawn: i8[M] each, in rising order; None:
        what is drawn is the sample."""
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
                means.add(superpoint[start:end], told, features.valid[start:end])
            for each in kept:
                each.take(start, block, torch.from_numpy(like))
            start = end
        mean, _ = means.result()
        sampled, *others = (each.filled(classes, features.valid) for each in kept)
        shown = others[0] if others else sampled
        return cls(classes, sampled, shown, mean[:, :width].copy(), mean[:, width:].copy(), count)

    def superpoints(self, texts: np.ndarray, by: By = By.both) -> np.ndarray:
        """f4[L, K] with texts [K, C] of length 1: the mean of their points' scores, NaN without any."""
        share, weight = similarity.weights(self.classes, texts, by)
        score = share * (self.mean @ texts.T) + self.mean_known @ weight
        score[self.count == 0] = np.nan
        return score

    @functools.cached_property
    def shows(self) -> np.ndarray:
        """i8[L]: the class of the highest mean cosine, -1 where no point has a feature."""
        return np.where(self.count > 0, (self.mean @ self.classes.name.T).argmax(1), -1)


class _Filling:
    """IndexedPoints while the blocks of all points go by."""

    def __init__(self, points: np.ndarray, width: int, columns: int) -> None:
        self._points, self._next = points, 0
        self._feature = QuantisedFeatures.empty(len(points), width)
        self._known = torch.empty((len(points), columns), dtype=torch.float16)

    def take(self, start: int, block: torch.Tensor, known: torch.Tensor) -> None:
        """What is wanted of the points from `start` on, of features [n, C]."""
        last = int(np.searchsorted(self._points, start + len(block)))
        inside = torch.from_numpy(self._points[self._next : last] - start)
        self._feature.put(self._next, block[inside])
        self._known[self._next : last] = known[inside]
        self._next = last

    def filled(self, classes: Vocabulary, valid: np.ndarray) -> IndexedPoints:
        return IndexedPoints(classes, self._points, self._feature, self._known, valid[self._points])
