"""From clouds to batches: a cloud is voxelised into a view, and several views form a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from anyscene.arrays import F4, I8
from anyscene.networks.cloud import Cloud
from anyscene.networks.sparse.coordinates import CoordinateMaps
from anyscene.networks.voxels import Voxels, voxelise
from anyscene.project.parameters import NetworkInput


@dataclass(frozen=True, eq=False)
class View:
    """A cloud as the network sees it."""

    cloud: Cloud
    voxels: Voxels  # of the cloud's points, which augmentation may have moved
    features: F4  # f4[V, 3], the input of each voxel
    random: np.random.Generator | None = None  # for random choices about this view; None outside training


@dataclass(frozen=True, eq=False)
class Batch:
    """Views that pass through the network together."""

    views: tuple[View, ...]
    maps: CoordinateMaps  # of the voxels of all views
    features: torch.Tensor  # f4[V, 3]
    start: I8  # i8[S+1], the row at which the voxels of each view begin, and V

    def select(self, places: Sequence[int]) -> Batch:
        """A batch of the views at `places` only."""
        return join([self.views[place] for place in places], self.features.device)


def join(views: Sequence[View], device: torch.device | str = "cpu") -> Batch:
    """Join `views` to a batch on `device`."""
    start = np.cumsum([0, *(len(view.features) for view in views)])
    coordinates = [
        np.column_stack([np.full(len(view.features), place, np.int32), view.voxels.coordinates])
        for place, view in enumerate(views)
    ]
    features = torch.from_numpy(np.concatenate([view.features for view in views]))
    return Batch(
        tuple(views), CoordinateMaps(np.concatenate(coordinates), device), features.to(device), start
    )


def as_it_is(cloud: Cloud, voxel: float, inputs: NetworkInput) -> View:
    """The view for prediction: nothing is varied, and voxels have sides of `voxel` metres."""
    voxels = voxelise(centred(cloud.xyz), voxel)
    return View(cloud, voxels, input_features(cloud, voxels, inputs))


def input_features(cloud: Cloud, voxels: Voxels, inputs: NetworkInput) -> F4:
    """f4[V, 3]: the mean colour of every voxel in -1..1; or ones, so that only its place counts."""
    if inputs == "colour":
        return voxels.mean(cloud.rgb) / np.float32(127.5) - 1
    return np.ones((len(voxels.point), 3), np.float32)


def centred(xyz: F4) -> F4:  # [N, 3]
    """Move points so that the middle of their bounding box is the origin.

    Otherwise the walls of a scan that has its origin in a corner lie on the boundary between two layers of
    voxels, and noise scatters their points over both."""
    moved: F4 = xyz - (xyz.min(0) + xyz.max(0)) / 2
    return moved
