"""What a mask model says of points, as counts: a scene has a few hundred captions, and each point some.

The feature of a point is the mean of the embeddings of its captions, each as often as a view shows it there.
A row of counts takes a few bytes, the feature that it stands for a thousand. So counts are stored, and
features are formed when they are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from anyscene.arrays import F4, U2, Array

if TYPE_CHECKING:
    from scipy import sparse


@dataclass(frozen=True, eq=False)
class CaptionCounts:
    """How often each of N points has each of T captions."""

    counts: sparse.csr_array  # f4[N, T], whole numbers; the columns of a row rise
    embedding: F4  # f4[T, C], of the captions
    text: tuple[str, ...] = ()  # T captions, "a brown table in a scene"

    @property
    def sightings(self) -> U2:
        """u2[N]: how many captions each point has, each as often as it has it."""
        return np.asarray(self.counts.sum(1)).astype(np.uint16)

    def means(self, start: int, stop: int) -> tuple[F4, U2]:
        """(feature f4[n, C], sightings u2[n]) of the points from `start` to before `stop`: the mean of the
        embeddings of their captions; 0 where a point has none."""
        block = self.counts[start:stop]
        count = block.sum(1)
        mean = block @ self.embedding
        mean /= np.maximum(count, 1)[:, None]
        return mean, count.astype(np.uint16)


def joined(distinct: Array, caption: Array, times: Array, embedding: F4) -> CaptionCounts:
    """The counts of N points from lists. distinct: integers [N], how many captions each point has; caption,
    times: integers [S], these captions and how often, point after point. Raises ValueError where the lists do
    not fit."""
    from scipy import sparse  # only here: commands read scenes without it

    start = np.concatenate([[0], np.cumsum(distinct, dtype=np.int64)])
    if start[-1] != len(caption) or len(caption) != len(times):
        raise ValueError(f"{start[-1]} captions of points, {len(caption)} ids and {len(times)} counts")
    if len(caption) and caption.max() >= len(embedding):
        raise ValueError(f"caption {caption.max()} has no embedding")
    parts = times.astype(np.float32), caption.astype(np.int32), start
    return CaptionCounts(sparse.csr_array(parts, (len(distinct), len(embedding))), embedding)
