"""Which scenes make up step 0, 1, 2, ..."""

from __future__ import annotations

import numpy as np


class Sampler:
    """The scenes of every batch.

    A batch has `batch` places. Each goes through a share of the scenes of its own, in a new random order
    every round. So no scene is in a batch twice, a process that computes certain places is the only one to
    see their scenes, and the batches are the same for any number of processes. Stateless: a place's scene and
    generator depend on seed, step and place alone, so training can go on from any step."""

    def __init__(self, scenes: int, batch: int, seed: int):
        self.batch, self.seed = min(batch, scenes), seed
        self.shares = [range(place, scenes, self.batch) for place in range(self.batch)]

    def __call__(self, step: int, place: int) -> tuple[int, np.random.Generator]:
        """Index of the scene at a place, and the generator for all random choices about it."""
        share = self.shares[place]
        round_, turn = divmod(step, len(share))
        order = np.random.default_rng([self.seed, 0, place, round_]).permutation(len(share))
        return share[order[turn]], np.random.default_rng([self.seed, 1, place, step])
