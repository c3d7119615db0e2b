"""What training reads of a scene, and how scenes become batches of voxels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from pipeline import store
from pipeline.config import Augmentation
from pipeline.errors import DataError
from pipeline.network import CoordinateMaps
from pipeline.training.augmentation import PAPER, centred
from pipeline.training.augmentation import colour as vary_colour
from pipeline.training.augmentation import geometry as vary_geometry
from pipeline.training.voxels import Voxels, voxelise


@dataclass(frozen=True, eq=False)
class Cloud:
    """The input of the network: xyz f4[N,3] in metres, rgb u1[N,3], superpoint i4[N]."""

    id: str
    xyz: np.ndarray
    rgb: np.ndarray
    superpoint: np.ndarray


@dataclass(frozen=True, eq=False)
class Batch:
    """Scenes voxelised together.

    maps: their coordinates; features: f4[V,3]; voxels: of each scene; start: i8[S+1], where each scene's
    rows begin.
    """

    clouds: tuple[Cloud, ...]
    voxels: tuple[Voxels, ...]
    maps: CoordinateMaps
    features: torch.Tensor
    start: np.ndarray

    @property
    def names(self) -> str:
        return ", ".join(cloud.id for cloud in self.clouds)


def read_cloud(scenes: Path, superpoints: Path, scene: str) -> Cloud:
    """Raises StoreError where an artefact is missing, DataError where the two do not fit."""
    cloud = store.open_scene(store.scene_path(scenes, scene))
    superpoint = store.open_scene(store.scene_path(superpoints, scene))["superpoint"][:]
    if len(superpoint) != cloud["xyz"].shape[0]:
        raise DataError(
            f"{scene}: {len(superpoint)} superpoint labels for {cloud['xyz'].shape[0]} points; "
            "run the stage superpoints again"
        )
    return Cloud(scene, cloud["xyz"][:], cloud["rgb"][:], superpoint)


def read_training_clouds(scenes: Path, superpoints: Path) -> list[Cloud]:
    """Every scene to train on. Raises what `read_cloud` raises."""
    return [read_cloud(scenes, superpoints, scene) for scene in store.split_ids(scenes, "train")]


def device(name: str) -> torch.device:
    """runtime.device: "auto" is the first GPU, or the CPU where there is none."""
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)


def batch(
    clouds: Sequence[Cloud],
    size: float,
    colour: bool,
    rng: np.random.Generator | None = None,
    device: torch.device | str = "cpu",
    augmentation: Augmentation = PAPER,
) -> Batch:
    """Voxelise at `size` metres. Features are ones (pure geometry) or with `colour` the mean colour in -1..1.
    With `rng` every scene is augmented."""
    parts = []
    for cloud in clouds:
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
    )


class Sampler:
    """Which scenes make up step 0, 1, 2, ...: each epoch in a random order of its own. Stateless: a
    step's scenes and generator depend on the seed and the step alone, so training can go on from any
    step."""

    def __init__(self, scenes: int, batch: int, seed: int):
        self.scenes, self.batch, self.seed = scenes, min(batch, scenes), seed

    def __call__(self, step: int) -> tuple[list[int], np.random.Generator]:
        """Indices of the scenes of a step, and the generator for all its random choices."""
        places = range(step * self.batch, (step + 1) * self.batch)
        chosen = [int(self._order(place // self.scenes)[place % self.scenes]) for place in places]
        return chosen, np.random.default_rng([self.seed, 1, step])

    def _order(self, epoch: int) -> np.ndarray:
        return np.random.default_rng([self.seed, 0, epoch]).permutation(self.scenes)
