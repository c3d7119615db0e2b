"""What the distillations of fused 2D features share: cosine losses, the start of the last layer, samples.

The losses compare targets with the feature phi = W h + b of every voxel. It is C wide, but linear in the few
hidden channels h that enter the network's last layer. So neither phi nor its gradient is ever formed: where
the target t is a unit vector,
    phi . t = h . (W t) + b . t        |phi|^2 = h . (W W^T) h + 2 h . (W b) + b . b
and the mean of phi over a superpoint is W applied to the mean of h, plus b. The tests compare with a plain
version that forms phi.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch

from anyscene.arrays import B1, I8, Floats
from anyscene.errors import DataError
from anyscene.learning.objective import Context, Mean, Objective
from anyscene.learning.objectives import distillation
from anyscene.networks import Batch, MinkUNet
from anyscene.networks.minkunet import Convolution
from anyscene.project import store

EPSILON = 1e-6


class Distillation(Objective, ABC):
    """What the distillations share: they read the fused features of every scene once, and pass once through
    the network."""

    Settings = distillation.Settings

    def __init__(self, settings: distillation.Settings, context: Context):
        super().__init__(settings, context)
        self._targets: dict[str, tuple[Any, B1]] = {}

    def forward(self, network: MinkUNet, batch: Batch) -> dict[str, Mean]:
        return self.terms(network.hidden(batch.maps, batch.features), network.final, batch)

    @abstractmethod
    def terms(self, hidden: torch.Tensor, final: Convolution, batch: Batch) -> dict[str, Mean]:
        """The terms of the loss. hidden: f4[V, H] of the batch's voxels; final: the layer that makes features
        of them."""

    @abstractmethod
    def read(self, scene: str) -> tuple[Any, B1]:
        """The targets of a scene, and which of them are valid (b1). Raises StoreError where the artefact is
        missing or damaged."""

    def target(self, scene: str) -> tuple[Any, B1]:
        """What `read` returns, kept in memory."""
        if scene not in self._targets:
            self._targets[scene] = self.read(scene)
        return self._targets[scene]


class OfSuperpoints(Distillation):
    """L_p + L_sp of SAS (Li et al. 2025): every sampled voxel, and the mean of every superpoint over its
    sampled voxels, against the fused feature of the superpoint. Superpoints without a fused feature do not
    count."""

    def terms(self, hidden: torch.Tensor, final: Convolution, batch: Batch) -> dict[str, Mean]:
        targets: list[torch.Tensor] = []
        rows: list[I8] = []
        owners: list[I8] = []
        before = 0
        for view, start in zip(batch.views, batch.start, strict=False):
            target, valid = self.target(view.cloud.id)
            superpoint = view.cloud.superpoint[view.voxels.point]
            row = np.flatnonzero((superpoint >= 0) & valid[superpoint])
            row = sample(row, self.settings.points_per_scene, view.random)
            rows.append(row + start)
            owners.append(superpoint[row].astype(np.int64) + before)
            targets.append(target)
            before += len(target)
        chosen, owner = (torch.from_numpy(np.concatenate(part)).to(hidden.device) for part in (rows, owners))
        return superpoint_loss(
            hidden.index_select(0, chosen), final, torch.cat(targets).to(hidden.device), owner
        )

    def read(self, scene: str) -> tuple[torch.Tensor, B1]:
        """(feature f4[L, C] of length 1, valid b1[L]) of the superpoints of a scene."""
        group = store.open_scene(store.scene_path(self.context.target, scene))
        return unit(group["superpoint_feature"][:]), group["superpoint_valid"][:]


@torch.no_grad()
def align(final: Convolution, target: torch.Tensor) -> None:  # [n, C]
    """Start the last layer where the targets f4[n, C] lie: its bias is their mean; the rows of its kernel are
    their principal axes, each as long as the targets spread along it.

    Embeddings of texts have most of their direction in common. From a random start the network learns that
    first; its features grow long meanwhile, which slows the learning of what tells classes apart. Raises
    DataError where there are no targets."""
    if not len(target):
        raise DataError("no training scene has a fused feature; run projection and fusion again")
    target = target.to(final.kernel.device)
    mean = target.mean(0)
    _, spread, axes = torch.linalg.svd(target - mean, full_matrices=False)
    rank = min(len(final.kernel), len(axes))
    final.kernel[:rank] = spread[:rank, None] / len(target) ** 0.5 * axes[:rank]
    if final.bias is not None:
        final.bias.copy_(mean)


def superpoint_loss(
    hidden: torch.Tensor, final: Convolution, target: torch.Tensor, owner: torch.Tensor
) -> dict[str, Mean]:
    """Two terms: "point", the mean over voxels of 1 - cos(target, phi); and "superpoint", the mean over the
    superpoints that occur of 1 - cos(target, mean of phi). Both have weight 0 where there are no voxels.

    hidden: f4[V, H]; target: f4[L, C] of length 1; owner: i8[V], the superpoint of each voxel."""
    seen, place = torch.unique(owner, return_inverse=True)
    target = target.index_select(0, seen)
    projected, offset = _project(target, final)
    point = 1 - _cosine(hidden, final, projected.index_select(0, place), offset.index_select(0, place))
    total = hidden.new_zeros(len(seen), hidden.shape[1]).index_add_(0, place, hidden)
    mean = total / torch.bincount(place, minlength=len(seen)).unsqueeze(1)
    superpoint = 1 - _cosine(mean, final, projected, offset)
    return {"point": Mean.of(point), "superpoint": Mean.of(superpoint)}


def point_loss(hidden: torch.Tensor, final: Convolution, target: torch.Tensor) -> dict[str, Mean]:
    """One term, "point": the mean over voxels of 1 - cos(target, phi). It has weight 0 where there are no
    voxels. hidden: f4[V, H]; target: f4[V, C] of length 1."""
    return {"point": Mean.of(1 - _cosine(hidden, final, *_project(target, final)))}


def _project(target: torch.Tensor, final: Convolution) -> tuple[torch.Tensor, torch.Tensor]:
    """W t and b . t of every target: [n, C] -> [n, H], [n]"""
    offset = target.new_zeros(len(target)) if final.bias is None else target @ final.bias[0]
    return target @ final.kernel.T, offset


def _cosine(
    hidden: torch.Tensor, final: Convolution, projected: torch.Tensor, offset: torch.Tensor
) -> torch.Tensor:  # [n,H], [n,H], [n] -> [n]
    """cos(t, phi) without forming phi."""
    square = (hidden @ (final.kernel @ final.kernel.T) * hidden).sum(1)
    if final.bias is not None:
        square = square + 2 * (hidden @ (final.kernel @ final.bias[0])) + final.bias.square().sum()
    return ((hidden * projected).sum(1) + offset) / square.clamp_min(EPSILON**2).sqrt()


def unit(features: Floats) -> torch.Tensor:  # [n, C]
    """f4[n, C]: the features scaled to length 1; zeros stay zeros."""
    return torch.nn.functional.normalize(torch.from_numpy(features.astype(np.float32)), dim=1)


def sample(rows: I8, limit: int, rng: np.random.Generator | None) -> I8:
    """i8: at most `limit` of the `rows`, drawn at random, in their order. rng: `View.random`."""
    if len(rows) <= limit:
        return rows
    assert rng is not None  # only views for prediction have none
    return np.sort(rng.choice(rows, limit, replace=False))
