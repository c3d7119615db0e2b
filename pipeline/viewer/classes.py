"""How much the points of a scene show of each class, by which the viewer finds texts as a query does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from pipeline.evaluation import query
from pipeline.evaluation.glosses import Vocabulary
from pipeline.viewer.features import Held


@dataclass(frozen=True, eq=False)
class Shown:
    """known: f2[R, V + 1], of the rows of `features`: their shares of the classes, and their cosine with what
    all classes have in common."""

    classes: Vocabulary
    features: Held
    known: torch.Tensor

    @classmethod
    def of(cls, features: Held, classes: Vocabulary) -> Shown:
        """Computed block by block, in little more memory than is kept."""
        known = torch.empty((len(features), len(classes.names) + 1), dtype=torch.float16)
        for start, block in features.cosines(np.vstack([classes.name, classes.common])):
            block[:, :-1] = query.shares(block[:, :-1])
            known[start : start + len(block)] = torch.from_numpy(block)
        return cls(classes, features, known)

    def scores(self, text: np.ndarray) -> np.ndarray:
        """f4[N, K] of the points with texts [K, C] of length 1, as of `query.both`; NaN without a feature."""
        like = [[*self.classes.likeness(one), -(self.classes.common @ one)] for one in text]
        part = torch.tensor(np.array(like, np.float32).T)
        score = np.empty((len(self.features), len(text)), np.float32)
        for start, block in self.features.cosines(text):
            end = start + len(block)
            score[start:end] = (block + (self.known[start:end].float() @ part).numpy()) / 2
        return self.features.of_points(score)
