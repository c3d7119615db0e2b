"""What texts are compared with: drawn points one by one, superpoints by the mean of all their points."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch

from anyscene.fusion import SuperpointMeans
from anyscene.show.viewer.features import Features, QuantisedFeatures
from anyscene.tasks.query import similarity
from anyscene.text.glosses import Vocabulary


@dataclass(frozen=True, eq=False)
class Index:
    """Of M points and L superpoints. drawn: features of the points; known: f2[M, V + 1], their shares of the
    classes, and their cosine with what all classes have in common; valid: b1[M], whether a point has a
    feature; mean: f4[L, C], of features of length 1; mean_known: f4[L, V + 1]; count: i8[L], points with a
    feature of each superpoint.

    A score is linear in what is known of a point, so that of the means is the mean of the points' scores.
    """

    classes: Vocabulary
    drawn: QuantisedFeatures
    known: torch.Tensor
    valid: np.ndarray
    mean: np.ndarray
    mean_known: np.ndarray
    count: np.ndarray

    @classmethod
    def of(cls, features: Features, points: np.ndarray, superpoint: np.ndarray, classes: Vocabulary) -> Index:
        """In one pass and little more memory than is kept. points: i8[M] in rising order; superpoint: i4[N],
        empty where there are none yet."""
        names = np.vstack([classes.name, classes.common])
        columns, width = torch.from_numpy(names.T.copy()), names.shape[1]
        drawn = QuantisedFeatures.empty(len(points), width)
        known = torch.empty((len(points), len(names)), dtype=torch.float16)
        count = np.bincount(superpoint[features.valid[: len(superpoint)]], minlength=_count(superpoint))
        means = SuperpointMeans(len(count), width + len(names))
        start, first = 0, 0
        for block in features.blocks():
            end = start + len(block)
            unit = torch.nn.functional.normalize(block)
            like = (unit @ columns).numpy()
            like[:, :-1] = similarity.shares(like[:, :-1])
            if len(superpoint):
                told = np.hstack([unit.numpy(), like])
                means.add(superpoint[start:end], told, features.valid[start:end])
            last = int(np.searchsorted(points, end))
            inside = torch.from_numpy(points[first:last] - start)
            drawn.put(first, block[inside])
            known[first:last] = torch.from_numpy(like)[inside]
            start, first = end, last
        mean, _ = means.result()
        valid = features.valid[points]
        return cls(classes, drawn, known, valid, mean[:, :width].copy(), mean[:, width:].copy(), count)

    def points(self, text: np.ndarray) -> np.ndarray:
        """f4[M, K] with texts [K, C] of length 1, as of `query.both`; NaN without a feature."""
        part = self._part(text)
        score = np.empty((len(self.drawn), len(text)), np.float32)
        for start, block in self.drawn.cosines(text):
            end = start + len(block)
            score[start:end] = (block + (self.known[start:end].float() @ part).numpy()) / 2
        score[~self.valid] = np.nan
        return score

    def superpoints(self, text: np.ndarray) -> np.ndarray:
        """f4[L, K] with texts [K, C] of length 1: the mean of their points' scores, NaN without any."""
        score = (self.mean @ text.T + self.mean_known @ self._part(text).numpy()) / 2
        score[self.count == 0] = np.nan
        return score

    @functools.cached_property
    def shows(self) -> np.ndarray:
        """i8[L]: the class of the highest mean cosine, -1 where no point has a feature."""
        return np.where(self.count > 0, (self.mean @ self.classes.name.T).argmax(1), -1)

    def _part(self, text: np.ndarray) -> torch.Tensor:
        """f4[V + 1, K]: what the columns of `known` count for texts [K, C]."""
        like = [[*self.classes.likeness(one), -(self.classes.common @ one)] for one in text]
        return torch.tensor(np.array(like, np.float32).T)


def _count(superpoint: np.ndarray) -> int:
    return int(superpoint.max(initial=-1)) + 1
