"""A trained network's features for every point of a scene."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from anyscene.errors import ConfigError
from anyscene.learning.views.augmentation import rotation
from anyscene.learning.views.data import Cloud, batch
from anyscene.networks import MinkUNet


@torch.inference_mode()
def predict_hidden(
    network: MinkUNet, cloud: Cloud, voxel: float, colour: bool, turns: int = 1
) -> torch.Tensor:
    """f4[N, hidden_channels]: what the network's last layer is given at every point, without augmentation
    but for the mean over `turns` equal turns about the vertical. Raises ConfigError for less than 1."""
    if turns < 1:
        raise ConfigError(f"turns: {turns}; predictions are averaged over at least 1")
    was_training = network.training
    network.eval()
    device = network.final.kernel.device
    total = None
    for turn in range(turns):
        matrix = rotation(0, 0, 2 * np.pi * turn / turns).astype(np.float32)
        turned = replace(cloud, xyz=cloud.xyz @ matrix.T) if turn else cloud
        scene = batch([turned], voxel, colour, device=device)
        hidden = network.hidden(scene.maps, scene.features)
        hidden = hidden.index_select(0, torch.from_numpy(scene.voxels[0].voxel).to(device))
        total = hidden if total is None else total.add_(hidden)
    network.train(was_training)
    return total / turns


@torch.inference_mode()
def predict_features(
    network: MinkUNet, cloud: Cloud, voxel: float, colour: bool, turns: int = 1
) -> np.ndarray:
    """f4[N,C]: the feature of every point, that of its voxel of `voxel` metres.

    `voxel` and `colour` are those of training, kept in network.json as meta["voxel"] and meta["input"].
    turns: test-time augmentation, the mean over so many equal turns about the vertical; 1: none."""
    return network.final(predict_hidden(network, cloud, voxel, colour, turns)).cpu().numpy()
