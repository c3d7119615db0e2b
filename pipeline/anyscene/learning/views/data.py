"""What training reads of a scene, and how scenes become batches of voxels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from anyscene.learning.views.augmentation import PAPER, centred
from anyscene.learning.views.augmentation import colour as vary_colour
from anyscene.learning.views.augmentation import geometry as vary_geometry
from anyscene.networks.cloud import Cloud, read_cloud
from anyscene.networks.sparse.coordinates import CoordinateMaps
from anyscene.networks.voxels import Voxels, voxelise
from anyscene.project import store
from anyscene.project.parameters import Augmentation


@dataclass(frozen=True, eq=False)
class Batch:
    """Scenes voxelised together.

    maps: their coordinates; features: f4[V,3]; voxels: of each scene; start: i8[S+1], where each scene's
    rows begin; random: each scene's generator, for the choices of the objective (none without augmentation).
    """

    clouds: tuple[Cloud, ...]
    voxels: tuple[Voxels, ...]
    maps: CoordinateMaps
    features: torch.Tensor
    start: np.ndarray
    random: tuple[np.random.Generator, ...] = ()

    @property
    def names(self) -> str:
        return ", ".join(cloud.id for cloud in self.clouds)


def read_training_clouds(scenes: Path, superpoints: Path) -> list[Cloud]:
    """Every scene to train on. Raises what `read_cloud` raises."""
    return [read_cloud(scenes, superpoints, scene) for scene in store.split_ids(scenes, "train")]


def batch(
    clouds: Sequence[Cloud],
    size: float,
    colour: bool,
    random: Sequence[np.random.Generator] = (),
    device: torch.device | str = "cpu",
    augmentation: Augmentation = PAPER,
) -> Batch:
    """Voxelise at `size` metres. Features are ones (pure geometry) or with `colour` the mean colour in -1..1.
    With `random`, a generator for each scene, the scenes are augmented."""
    parts = []
    for cloud, rng in zip(clouds, random or [None] * len(clouds), strict=True):
        xyz = centred(cloud.xyz) if rng is None else vary_geometry(cloud.xyz, rng, augmentation)
        voxels = voxelise(xyz, size)
        features = np.ones((len(voxels.point), 3), np.float32)
        if colour:
            features = voxels.mean(cloud.rgb) / np.float32(127.5) - 1
            if rng is not None:
                features = vary_colour(features, rng)
        parts.append((voxels, features))
    voxels, features = zip(*parts, strict=True)
    start = np.cumsum([0, *(len(v.point) for v in voxels)])
    coordinates = np.concatenate(
        [np.column_stack([np.full(len(v.point), i, np.int32), v.coordinates]) for i, v in enumerate(voxels)]
    )
    return Batch(
        tuple(clouds),
        voxels,
        CoordinateMaps(coordinates, device),
        torch.from_numpy(np.concatenate(features)).to(device),
        start,
        tuple(random),
    )


class Sampler:
    """Which scenes make up step 0, 1, 2, ...

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
