"""Distillation of the fused features into the network, point by point and superpoint by superpoint."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from anyscene.arrays import B1, I8
from anyscene.learning.objective import Mean
from anyscene.learning.objectives.cosine import Distillation, align, sample, superpoint_loss, unit
from anyscene.networks import Batch, Cloud, MinkUNet
from anyscene.networks.minkunet import Convolution
from anyscene.project import store


class SuperpointDistillation(Distillation):
    """L = L_p + L_sp (Li et al. 2025, SAS): every sampled voxel, and the mean of every superpoint over its
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

    def initialise(self, network: MinkUNet, clouds: Sequence[Cloud]) -> None:
        """Align the last layer with the targets."""
        targets = [target[valid] for target, valid in (self.target(cloud.id) for cloud in clouds)]
        align(network.final, torch.cat(targets))

    def read(self, scene: str) -> tuple[torch.Tensor, B1]:
        """(feature f4[L, C] of length 1, valid b1[L]) of the superpoints of a scene."""
        group = store.open_scene(store.scene_path(self.context.target, scene))
        return unit(group["superpoint_feature"][:]), group["superpoint_valid"][:]
