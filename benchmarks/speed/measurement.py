"""One measurement, and how two sides are timed fairly."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

REPEATS = 5


@dataclass(frozen=True)
class Figure:
    """`ours` and `peer` are in `unit`. ratio = ours / peer, so less is better unless the unit is a rate."""

    name: str
    setting: str
    unit: str
    ours: float
    peer: float
    against: str

    @property
    def ratio(self) -> float:
        return self.ours / self.peer

    def shown(self, value: float) -> str:
        return f"{1000 * value:,.1f} ms" if self.unit == "s" else f"{value:,.0f} {self.unit}"


def alternate(ours: Callable[[], float], peer: Callable[[], float]) -> tuple[float, float]:
    """The shortest of REPEATS timings of each side, taken in turn. Other work on the machine can only make a
    timing longer."""
    ours(), peer()
    pairs = [(ours(), peer()) for _ in range(REPEATS)]
    a, b = np.min(pairs, 0)
    return float(a), float(b)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
