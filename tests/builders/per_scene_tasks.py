"""Computations for tests of scene-wise execution; module-level, so that worker processes can import them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zarr

from anyscene.errors import DataError
from anyscene.project import store


@dataclass(frozen=True)
class Count:
    """Writes three arrays and an attribute, and a line in `log` for each scene computed."""

    log: Path
    failing: tuple[str, ...] = ()
    crashing: tuple[str, ...] = ()
    dying: tuple[str, ...] = ()
    pause: float = 0.0
    added: int = 0  # to the values of the second array
    seen: int = 0  # an attribute

    def __call__(self, scene: str, group: zarr.Group) -> None:
        with self.log.open("a") as log:
            log.write(f"{scene}\n")
        for part in range(3):
            store.write(group, f"part{part}", np.full((50, 8), hash_of(scene) + (part == 1) * self.added))
            time.sleep(self.pause)
        group.attrs["frames"] = [{"id": "0", "seen": self.seen, "pose": [0.1, 1e-17, -0.0]}]
        if scene in self.failing:
            raise DataError(f"{scene}/color/3.png: broken; export it again")
        if scene in self.crashing:
            raise ZeroDivisionError("oops")
        if scene in self.dying:
            os._exit(9)


@dataclass(frozen=True)
class Threads:
    """Writes how many threads the libraries of the worker would use."""

    def __call__(self, scene: str, group: zarr.Group) -> None:
        import numba
        import torch

        store.write(group, "threads", np.array([numba.get_num_threads(), torch.get_num_threads()]))


@dataclass(frozen=True)
class Doubling:
    """Makes a function that doubles numbers, and writes a line in `log` whenever it makes one. It fails on
    the number `bad` and ends its process on `deadly`."""

    log: Path
    bad: int = -1
    deadly: int = -1

    def __call__(self) -> Callable[[int], int]:
        with self.log.open("a") as log:
            log.write(f"{os.getpid()}\n")
        return self._double

    def _double(self, number: int) -> int:
        time.sleep(0.02 * (number % 3))  # so that results come in another order
        if number == self.bad:
            raise DataError(f"{number}: is bad")
        if number == self.deadly:
            os._exit(9)
        return 2 * number


def hash_of(scene: str) -> int:
    return sum(map(ord, scene))
