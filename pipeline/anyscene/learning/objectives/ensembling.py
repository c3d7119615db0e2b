"""Temporal-ensembling self-distillation: the network learns from a slow average of its own answers.

Per scene and point a history H of the network's answers is kept; its best class is the pseudo label of
the point, the best class of its mean over a superpoint that of the superpoint. Average, mean and product
with the text embeddings are all linear, so H is kept as K logits per point in place of C features: the
same labels, K/C of the memory.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch.nn import functional

from anyscene.errors import TrainingError
from anyscene.learning.engine.history import History, checksum
from anyscene.learning.engine.processes import Processes
from anyscene.learning.objective import Mean, Objective, Sum
from anyscene.learning.objectives.distillation import SuperpointDistillation
from anyscene.learning.prediction import predict_hidden
from anyscene.learning.views.data import Batch, Cloud
from anyscene.networks import MinkUNet
from anyscene.networks.minkunet import Convolution
from anyscene.project.parameters import Ensembling as Section

RARE = 0.003  # added to the share of a class, so that none weighs without bound


class Ensembling(Objective):
    """L = CE(logits, point labels) + CE(superpoint mean of logits, superpoint labels), logits = phi . text /
    temperature.

    After each visit H = momentum H + (1 - momentum) phi . text (float32: at momentum .9999 half precision
    would lose the update)."""

    def __init__(
        self,
        text: torch.Tensor,
        history: History,
        *,
        momentum: float,
        temperature: float,
        voxel: float,
        colour: bool,
        start: Literal["paper", "code"] = "paper",
        labels: Literal["paper", "code"] = "paper",
        balance: float = 0.0,
    ):  # text [K, C]
        """start: H begins with the answers of the network as it is given, at every point (paper) or their
        superpoint means (released code). labels: of a point by its own history (paper), or that of its
        superpoint (released code). balance: a class of share f among the first pseudo labels weighs
        (f + RARE) ** -balance in the loss; 0: all alike, as in paper and code.

        Raises TrainingError for momentum, temperature or balance out of bounds."""
        if not 0 <= momentum <= 1:
            raise TrainingError(f"ensembling.momentum: {momentum} is the history's share, 0 to 1")
        if temperature <= 0:
            raise TrainingError(f"ensembling.temperature: {temperature} divides logits, it is above 0")
        if balance < 0:
            raise TrainingError(f"ensembling.balance: {balance}; it is at least 0, which weighs all alike")
        self.text, self.history = text, history
        self.momentum, self.temperature = momentum, temperature
        self.voxel, self.colour = voxel, colour
        self.start, self.labels, self.balance = start, labels, balance
        self.weight = text.new_ones(len(text))  # of the classes

    @property
    def identity(self) -> Mapping[str, Any]:
        text = checksum(self.text.cpu().numpy().tobytes())
        settings = ("momentum", "temperature", "voxel", "colour", "start", "labels", "balance")
        return {"objective": type(self).__name__, "text": text} | {s: getattr(self, s) for s in settings}

    def __call__(self, hidden: torch.Tensor, final: Convolution, batch: Batch) -> dict[str, Mean]:
        """hidden: [V,H], of the batch's voxels -> the terms whose sum is the loss."""
        logits = class_logits(hidden, final, self.text)
        points, superpoints = [], []
        for i, (cloud, voxels) in enumerate(zip(batch.clouds, batch.voxels, strict=True)):
            history = torch.from_numpy(self.history[cloud.id]).to(hidden.device)  # [N, K]
            owner = torch.from_numpy(cloud.superpoint.astype(np.int64)).to(hidden.device)  # [N]
            first, voxel = (torch.from_numpy(p).to(hidden.device) for p in (voxels.point, voxels.voxel))
            of_scene = logits[batch.start[i] : batch.start[i + 1]]  # [V, K]
            label, pooled_label = pseudo_labels(history, owner)
            if self.labels == "code":
                label = pooled_label[owner]
            mean, seen = superpoint_mean(of_scene, owner[first])
            points.append((of_scene, label[first]))
            superpoints.append((mean, pooled_label[seen]))
            with torch.no_grad():
                new = history * self.momentum
                new.add_(of_scene.index_select(0, voxel), alpha=1 - self.momentum)
                self.history[cloud.id] = new.cpu().numpy()
        return {"point": self._cross_entropy(points), "superpoint": self._cross_entropy(superpoints)}

    def _cross_entropy(self, parts: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> Mean:
        """Of (logits [n,K], label i8[n]) of every scene."""
        logits, label = (torch.cat(part) for part in zip(*parts, strict=True))
        losses = functional.cross_entropy(logits / self.temperature, label, reduction="none")
        return Mean.of(losses, self.weight[label])

    def begin(self, network: MinkUNet, clouds: Sequence[Cloud], processes: Processes) -> None:
        """Start every scene's history from the network as it is now, without augmentation."""
        counts = np.zeros(len(self.text))
        for cloud in clouds:
            hidden = predict_hidden(network, cloud, self.voxel, self.colour)
            with torch.no_grad():
                logits = class_logits(hidden, network.final, self.text)
                if self.start == "code":
                    owner = torch.from_numpy(cloud.superpoint.astype(np.int64)).to(logits.device)
                    mean, seen = superpoint_mean(logits, owner)
                    logits = mean[torch.searchsorted(seen, owner)]
            self.history[cloud.id] = logits.cpu().numpy()
            counts += np.bincount(logits.argmax(1).cpu(), minlength=len(counts))
        self._weigh(processes.sum(counts))

    def _weigh(self, counts: Sequence[float]) -> None:
        self._counts = list(counts)
        share = torch.tensor(counts, dtype=torch.float64) / max(1.0, sum(counts))
        self.weight = ((share + RARE) ** -self.balance).to(self.text)

    def freeze(self) -> dict[str, Any]:
        return {"counts": self._counts, "history": self.history.freeze()}

    def restore(self, frozen: Sequence[Mapping[str, Any]], scenes: Collection[str]) -> None:
        files = {scene: file for part in frozen for scene, file in part["history"].items()}
        self.history.restore({scene: files[scene] for scene in scenes})
        self._weigh(frozen[0]["counts"])

    def prune(self) -> None:
        self.history.prune()


def objective_of(
    section: Section,
    text: torch.Tensor,
    *,
    voxel: float,
    colour: bool,
    history: Path,
    fusion: Path,
    points_per_scene: int,
) -> Objective:  # text [K, C]
    """What params.yaml asks for: with `loss: paper` the distillation from `fusion` goes on beside it."""
    ensembling = Ensembling(
        text,
        History(history),
        momentum=section.momentum,
        temperature=section.temperature,
        voxel=voxel,
        colour=colour,
        start=section.start,
        labels=section.loss,
        balance=section.balance,
    )
    if section.loss == "code":
        return ensembling
    return Sum(distillation=SuperpointDistillation(fusion, points_per_scene), ensembling=ensembling)


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
