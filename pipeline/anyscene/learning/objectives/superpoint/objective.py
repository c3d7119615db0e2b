"""Distillation of the fused features into the network, point by point and superpoint by superpoint."""

from __future__ import annotations

from anyscene.learning.objectives import superpoint
from anyscene.learning.objectives.cosine import OfSuperpoints, align, unit
from anyscene.learning.views.clouds import Clouds
from anyscene.networks import MinkUNet


class SuperpointDistillation(OfSuperpoints):
    """The loss of superpoints, alone (Li et al. 2025, SAS)."""

    Settings = superpoint.Settings

    def initialise(self, network: MinkUNet, clouds: Clouds) -> None:
        """Align the last layer with the targets, if `align` says so."""
        if self.settings.align:
            align(network.final, (unit(feature[valid]) for feature, valid in map(self.read, clouds.ids)))
