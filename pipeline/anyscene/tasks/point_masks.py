"""Sets of points, as masks that take one bit for each point."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from anyscene.arrays import B1, I8, U1


@dataclass(frozen=True, eq=False)
class PointMasks:
    """P sets of N points. 500 sets of 150,000 points take 9 MB, however large the sets are."""

    bits: U1  # u1[P, ceil(N / 8)]; the first of eight points has the highest bit
    points: int  # N

    @classmethod
    def of(cls, masks: Iterable[B1], points: int) -> PointMasks:
        """Pack masks b1[N], one after the other. Raises ValueError for a mask of another shape or type."""
        rows = []
        for mask in masks:
            if mask.shape != (points,) or mask.dtype != bool:
                raise ValueError(f"mask of {mask.dtype}{list(mask.shape)}, not of {points} truth values")
            rows.append(np.packbits(mask))
        return cls(np.array(rows, np.uint8).reshape(len(rows), -(-points // 8)), points)

    def __len__(self) -> int:
        return len(self.bits)

    def __getitem__(self, index: int) -> B1:
        """b1[N]: the mask `index`."""
        return np.unpackbits(self.bits[index], count=self.points).view(bool)

    def between(self, start: int, end: int) -> B1:
        """b1[P, end - start]: all masks at the points from `start` to before `end`."""
        held = np.unpackbits(self.bits[:, start // 8 : -(-end // 8)], axis=1).view(bool)
        return held[:, start % 8 : start % 8 + end - start]

    def sizes(self) -> I8:
        """i8[P]: how many points each mask has."""
        size: I8 = np.bitwise_count(self.bits).sum(1, dtype=np.int64)
        return size
