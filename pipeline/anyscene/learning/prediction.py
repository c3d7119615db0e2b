"""Moved to networks.trained; here until all that call it so load a TrainedNetwork."""

from __future__ import annotations

import numpy as np
import torch

from anyscene.networks.cloud import Cloud
from anyscene.networks.minkunet import MinkUNet
from anyscene.networks.trained import hidden


@torch.inference_mode()
def predict_features(
    network: MinkUNet, cloud: Cloud, voxel: float, colour: bool, turns: int = 1
) -> np.ndarray:
    """f4[N, C]: `TrainedNetwork.features`."""
    rows = hidden(network, cloud, voxel, "colour" if colour else "geometry", turns)
    return network.final(rows).cpu().numpy()
