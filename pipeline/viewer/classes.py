"""How much the points of a scene show of each class, by which the viewer finds texts as a query does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.evaluation import query
from pipeline.evaluation.glosses import Vocabulary
from pipeline.viewer.features import Held

BLOCK = 1 << 14  # rows widened to f4 at a time


@dataclass(frozen=True, eq=False)
class Shown:
    """share: f2[R, V], of the rows of `features`; general: f4[R], their cosine with `classes.common`."""

    classes: Vocabulary
    features: Held
    share: np.ndarray
    general: np.ndarray

    @classmethod
    def of(cls, features: Held, classes: Vocabulary) -> Shown:
        """Computed block by block, in little more memory than is kept."""
        share = np.empty((len(features), len(classes.names)), np.float16)
        general = np.empty(len(features), np.float32)
        for start, block in features.cosines(np.vstack([classes.name, classes.common])):
            share[start : start + len(block)] = query.shares(block[:, :-1])
            general[start : start + len(block)] = block[:, -1]
        return cls(classes, features, share, general)

    def scores(self, text: np.ndarray) -> np.ndarray:
        """f4[N, K] of the points with texts [K, C] of length 1, as of `query.both`; NaN without a feature."""
        score, row = self.features.cosine(text), self.features.row
        like = np.stack([self.classes.likeness(one) for one in text], 1).astype(np.float32)
        common = (self.classes.common @ text.T).astype(np.float32)
        for start in range(0, len(score), BLOCK):
            place = slice(start, start + BLOCK) if row is None else row[start : start + BLOCK]
            score[start : start + BLOCK] += self.share[place].astype(np.float32) @ like
            score[start : start + BLOCK] -= self.general[place, None] * common
        score /= 2
        return score
