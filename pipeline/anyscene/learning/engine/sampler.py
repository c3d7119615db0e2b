"""Which scenes make up step 0, 1, 2, ..."""

from __future__ import annotations

import numpy as np


class Sampler:
    """The scenes of every batch.

    A batch has `batch` places. Each place has a share of the scenes to itself, and goes through it in a new
    random order every round. So no scene is in a batch twice, only the process that computes a place sees its
    scenes, and the batches are the same for any number of processes. The sampler has no state: the scene and
    the generator of a place depend only on seed, step and place, so training can continue from any step."""

    def __init__(self, scenes: int, batch: int, seed: int):
        self.batch, self.seed = min(batch, scenes), seed
        self.shares = [range(place, scenes, self.batch) for place in range(self.batch)]

    def __call__(self, step: int, place: int) -> tuple[int, np.random.Generator]:
        """The index of the scene at `place` in `step`, and the generator for all random choices about it."""
        share = self.shares[place]
        round_, turn = divmod(step, len(share))
        order = np.random.default_rng([self.seed, 0, place, round_]).permutation(len(share))
        return share[order[turn]], np.random.default_rng([self.seed, 1, place, step])
