"""Large clouds pass through a network in tiles, each with as much around it as the network looks at.

Voxels and what they hold are those of the whole cloud, and a voxel's answer is taken from the tile that it
lies in. So the answers are those of one pass, up to the order of sums. Memory grows with the largest tile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from anyscene.arrays import B1, I4, I8

AT_ONCE = 1 << 20  # voxels that pass through a network together, if tiles can be as small as that


@dataclass(frozen=True, eq=False)
class Tile:
    """Some of the V voxels of a cloud."""

    own: I8  # i8[n], the rows that are answered, in rising order
    seen: I8  # i8[m], those that are shown: `own`, and all that their answers can depend on; in rising order

    @property
    def answered(self) -> B1:
        """b1[m]: which of the shown voxels are answered."""
        inside = np.zeros(len(self.seen), bool)
        inside[np.searchsorted(self.seen, self.own)] = True
        return inside


def tiles(coordinates: I4, halo: int, most: int = AT_ONCE) -> Iterator[Tile]:
    """Yield tiles that together answer every voxel once.

    coordinates: i4[V, 3], distinct; halo: how far the network looks, in voxels; most: how many voxels a tile
    shows. A tile of which no side is longer than `halo` may show more: to divide it would save little, for
    most of what it shows lies around it."""
    every = np.arange(len(coordinates))
    if len(every) <= most:
        yield Tile(every, every)
        return
    left = [every]
    while left:
        own = left.pop()
        low, high = coordinates[own].min(0), coordinates[own].max(0)
        shown = ((coordinates >= low - halo) & (coordinates <= high + halo)).all(1)
        axis = int((high - low).argmax())
        if np.count_nonzero(shown) <= most or high[axis] - low[axis] < halo:
            yield Tile(own, np.flatnonzero(shown))
            continue
        middle = np.median(coordinates[own, axis])
        below = coordinates[own, axis] < max(middle, low[axis] + 1)  # neither half is empty
        left += [own[~below], own[below]]
