"""Temporal-ensembling self-distillation: the network learns from a slow average of its own answers.

Per scene and point a history H of the network's answers is kept; its best class is the pseudo label of
the point, the best class of its mean over a superpoint that of the superpoint. Average, mean and product
with the text embeddings are all linear, so H is kept as K logits per point in place of C features: the
same labels, K/C of the memory.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from pipeline.network import MinkUNet
from pipeline.network.minkunet import Convolution
from pipeline.training.data import Batch, Cloud
from pipeline.training.prediction import predict_hidden


class Ensembling:
    """L = CE(logits, point labels) + CE(superpoint mean of logits, superpoint labels), logits = phi . text.

    After each visit H = momentum H + (1 - momentum) logits (float32: at momentum .9999 half precision
    would lose the update). H starts as the logits of the network as it is given."""

    def __init__(
        self,
        network: MinkUNet,
        text: torch.Tensor,
        momentum: float,
        temperature: float,
        voxel: float,
        colour: bool,
    ):  # text [K, C]
        self.network, self.text, self.momentum, self.temperature = network, text, momentum, temperature
        self.voxel, self.colour = voxel, colour
        self.history: dict[str, torch.Tensor] = {}  # scene -> [N, K]

    def __call__(
        self, hidden: torch.Tensor, final: Convolution, batch: Batch, rng: np.random.Generator
    ) -> dict[str, torch.Tensor]:
        """hidden: [V,H], of the batch's voxels -> the terms whose sum is the loss."""
        logits = class_logits(hidden, final, self.text)
        point, superpoint = [], []
        for i, (cloud, voxels) in enumerate(zip(batch.clouds, batch.voxels, strict=True)):
            history = self._history(cloud)
            owner = torch.from_numpy(cloud.superpoint.astype(np.int64)).to(hidden.device)
            of_scene = logits[batch.start[i] : batch.start[i + 1]]
            labels, pooled_labels = pseudo_labels(history, owner)
            first = torch.from_numpy(voxels.point).to(hidden.device)
            point.append(
                functional.cross_entropy(of_scene / self.temperature, labels[first], reduction="none")
            )
            mean, seen = superpoint_mean(of_scene, owner[first])
            superpoint.append(
                functional.cross_entropy(mean / self.temperature, pooled_labels[seen], reduction="none")
            )
            with torch.no_grad():
                history.mul_(self.momentum).add_(
                    of_scene[torch.from_numpy(voxels.voxel).to(hidden.device)], alpha=1 - self.momentum
                )
        return {"point": torch.cat(point).mean(), "superpoint": torch.cat(superpoint).mean()}

    @torch.no_grad()
    def _history(self, cloud: Cloud) -> torch.Tensor:
        """[N,K]; on the first visit what the network, not yet changed by much, says without augmentation."""
        if cloud.id not in self.history:
            hidden = predict_hidden(self.network, cloud, self.voxel, self.colour)
            self.history[cloud.id] = class_logits(hidden, self.network.final, self.text).clone()
        return self.history[cloud.id]

    def begin(self, clouds: list[Cloud]) -> None:
        """Start every scene's history from the network as it is now."""
        for cloud in clouds:
            self._history(cloud)


def class_logits(hidden: torch.Tensor, final: Convolution, text: torch.Tensor) -> torch.Tensor:
    """phi . text without forming phi: [n,H], [K,C] -> [n,K]"""
    logits = hidden @ (final.kernel @ text.T)
    return logits if final.bias is None else logits + final.bias @ text.T


def pseudo_labels(history: torch.Tensor, owner: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """history: [N,K]; owner: i8[N] in 0..L-1 -> best class of every point i8[N] and of every superpoint
    i8[L]."""
    total = history.new_zeros(int(owner.max()) + 1, history.shape[1]).index_add_(0, owner, history)
    return history.argmax(1), total.argmax(1)


def superpoint_mean(values: torch.Tensor, owner: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """[n,K], i8[n] -> the mean of each superpoint that occurs [m,K], and which these are i8[m]."""
    seen, place = torch.unique(owner, return_inverse=True)
    total = values.new_zeros(len(seen), values.shape[1]).index_add_(0, place, values)
    return total / torch.bincount(place, minlength=len(seen)).unsqueeze(1), seen
