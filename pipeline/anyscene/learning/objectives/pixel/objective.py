"""The baseline without superpoints: distillation of the fused feature of every point."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from anyscene.arrays import B1, F2, I8
from anyscene.learning.objective import Mean
from anyscene.learning.objectives.cosine import Distillation, align, point_loss, sample, unit
from anyscene.networks import Batch, Cloud, MinkUNet
from anyscene.networks.minkunet import Convolution
from anyscene.project import store

POINTS_ALIGNED = 500  # points of a scene with which the last layer is aligned, about


class PixelDistillation(Distillation):
    """L_p of SAS: every sampled voxel against the fused feature of its first point."""

    def terms(self, hidden: torch.Tensor, final: Convolution, batch: Batch) -> dict[str, Mean]:
        rows: list[I8] = []
        targets: list[torch.Tensor] = []
        for view, start in zip(batch.views, batch.start, strict=False):
            feature, valid = self.target(view.cloud.id)
            point = view.voxels.point
            row = sample(np.flatnonzero(valid[point]), self.settings.points_per_scene, view.random)
            rows.append(row + start)
            targets.append(unit(feature[point[row]]))
        chosen = torch.from_numpy(np.concatenate(rows)).to(hidden.device)
        return point_loss(hidden.index_select(0, chosen), final, torch.cat(targets).to(hidden.device))

    def initialise(self, network: MinkUNet, clouds: Sequence[Cloud]) -> None:
        """Align the last layer with the targets of some points."""
        sampled = []
        for cloud in clouds:
            feature, valid = self.target(cloud.id)
            seen = np.flatnonzero(valid)
            sampled.append(unit(feature[seen[:: max(1, len(seen) // POINTS_ALIGNED)]]))
        align(network.final, torch.cat(sampled))

    def read(self, scene: str) -> tuple[F2, B1]:
        """(feature f2[N, C], valid b1[N]) of the fusion of a scene."""
        return store.fused_points(store.scene_path(self.context.target, scene))
