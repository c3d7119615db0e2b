"""Distillation of the fused features into the network, point by point and superpoint by superpoint."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from anyscene.learning.objectives.cosine import OfSuperpoints, align
from anyscene.networks import Cloud, MinkUNet


class SuperpointDistillation(OfSuperpoints):
    """The loss of superpoints, alone (Li et al. 2025, SAS)."""

    def initialise(self, network: MinkUNet, clouds: Sequence[Cloud]) -> None:
        """Align the last layer with the targets."""
        targets = [target[valid] for target, valid in (self.target(cloud.id) for cloud in clouds)]
        align(network.final, torch.cat(targets))
