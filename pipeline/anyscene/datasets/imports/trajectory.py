"""Poses at times, of recordings whose poses and images were taken at different rates."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from anyscene.arrays import F8
from anyscene.datasets import rotations
from anyscene.datasets.left_out import NO_POSE
from anyscene.errors import FrameError

Item = TypeVar("Item")


def nearest(timed: Sequence[tuple[float, Item]], time: float, within: float) -> Item | None:
    """The one of `timed`, which are in the order of their times, that is nearest to `time`; None where none
    is within so many seconds."""
    after = bisect(timed, time, key=lambda one: one[0])
    around = timed[max(after - 1, 0) : after + 1]
    found = min(around, key=lambda one: abs(one[0] - time), default=None)
    return found[1] if found is not None and abs(found[0] - time) <= within else None


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Camera-to-world poses, in the order of their times."""

    time: F8  # f8[N], seconds, rising
    pose: F8  # f8[N,4,4]
    near: float  # seconds: how far from a frame a pose may be that is taken for its own
    gap: float  # seconds: how far apart two poses may be that are interpolated

    @classmethod
    def of(cls, time: F8, position: F8, rotation: F8, near: float, gap: float) -> Trajectory:
        """time: f8[N] in any order; position: f8[N,3]; rotation: f8[N,3,3], camera to world. Of poses with
        the same time the first is kept."""
        time, first = np.unique(time, return_index=True)
        pose = np.tile(np.eye(4), (len(time), 1, 1))
        pose[:, :3, :3] = rotation[first]
        pose[:, :3, 3] = position[first]
        return cls(time, pose, near, gap)

    def at(self, time: float, where: object) -> F8:
        """f8[4,4]: the pose at a time: between its neighbours where these are close enough to each other,
        else that of the nearest. Raises FrameError that begins with `where` if none is close enough."""
        after = int(np.searchsorted(self.time, time))
        around = [k for k in (after - 1, after) if 0 <= k < len(self.time)]
        if len(around) == 2 and self.time[after] - self.time[after - 1] <= self.gap:
            return self._between(around, time)
        nearest = min(around, key=lambda k: abs(self.time[k] - time), default=None)
        if nearest is None or abs(self.time[nearest] - time) > self.near:
            raise FrameError(f"{where}: no pose within {self.near:g} s of {time:.6f}", NO_POSE)
        return np.array(self.pose[nearest])

    def _between(self, around: list[int], time: float) -> F8:
        before, after = around
        pose, span = np.eye(4), self.time[around]
        share = (time - span[0]) / (span[1] - span[0])
        pose[:3, :3] = rotations.between(self.pose[around, :3, :3], share)
        pose[:3, 3] = (1 - share) * self.pose[before, :3, 3] + share * self.pose[after, :3, 3]
        return pose
