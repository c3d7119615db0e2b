"""A trained network's features for every point of a scene."""

from __future__ import annotations

import numpy as np
import torch

from pipeline.network import MinkUNet
from pipeline.training.data import Cloud, batch


@torch.inference_mode()
def predict_hidden(network: MinkUNet, cloud: Cloud, voxel: float, colour: bool) -> torch.Tensor:
    """f4[N, hidden_channels]: what the network's last layer is given at every point, without augmentation."""
    was_training = network.training
    network.eval()
    device = network.final.kernel.device
    scene = batch([cloud], voxel, colour, device=device)
    hidden = network.hidden(scene.maps, scene.features)
    network.train(was_training)
    return hidden.index_select(0, torch.from_numpy(scene.voxels[0].voxel).to(device))


@torch.inference_mode()
def predict_features(network: MinkUNet, cloud: Cloud, voxel: float, colour: bool) -> np.ndarray:
    """f4[N,C]: the feature of every point, that of its voxel of `voxel` metres; no augmentation.

    `voxel` and `colour` are those of training, kept in network.json as meta["voxel"] and meta["input"]."""
    return network.final(predict_hidden(network, cloud, voxel, colour)).cpu().numpy()
