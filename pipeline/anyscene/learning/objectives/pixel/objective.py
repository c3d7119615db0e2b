"""The baseline without superpoints: distillation of the fused feature of every point."""

from __future__ import annotations

import numpy as np
import torch

from anyscene.arrays import B1, F2
from anyscene.learning.objective import Mean
from anyscene.learning.objectives import pixel
from anyscene.learning.objectives.cosine import Distillation, TaughtView, align, point_loss, unit
from anyscene.learning.views.clouds import Clouds
from anyscene.networks import Batch, MinkUNet, View
from anyscene.networks.minkunet import Convolution
from anyscene.project import store

POINTS_ALIGNED = 500  # points of a scene with which the last layer is aligned, about


class PixelDistillation(Distillation):
    """L_p of SAS: every sampled voxel against the fused feature of its first point."""

    Settings = pixel.Settings

    def terms(self, hidden: torch.Tensor, final: Convolution, batch: Batch) -> dict[str, Mean]:
        row, owner, target = self.targets(batch)
        return point_loss(hidden.index_select(0, row), final, target.index_select(0, owner))

    def taught(self, view: View) -> TaughtView:
        feature, valid = self.features(view.cloud.id)
        point = view.voxels.point
        row, key = self.sampled(np.flatnonzero(valid[point]), view.random)
        owner = np.arange(len(row))
        return TaughtView(**vars(view), row=row, owner=owner, target=feature[point[row]], key=key)

    def initialise(self, network: MinkUNet, clouds: Clouds) -> None:
        """Align the last layer with the targets of some points, if `align` says so."""
        if self.settings.align:
            align(network.final, map(self._some, clouds.ids))

    def _some(self, scene: str) -> torch.Tensor:
        feature, valid = self.read(scene)
        seen = np.flatnonzero(valid)
        return unit(feature[seen[:: max(1, len(seen) // POINTS_ALIGNED)]])

    def read(self, scene: str) -> tuple[F2, B1]:
        """(feature f2[N, C], valid b1[N]) of the fusion of a scene."""
        return store.fused_points(store.scene_path(self.context.target, scene))
