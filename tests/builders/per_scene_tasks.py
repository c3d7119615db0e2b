"""Computations for tests of scene-wise execution; module-level, so that worker processes can import them."""

from __future__ import annotations

import os
import time
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


def hash_of(scene: str) -> int:
    return sum(map(ord, scene))
