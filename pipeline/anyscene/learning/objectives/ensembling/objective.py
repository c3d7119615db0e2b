"""Temporal-ensembling self-distillation: the network learns from a slow average of its own answers.

For each point of a scene a history H of the network's answers is kept. Its best class is the pseudo label of
the point; the best class of its mean over a superpoint is that of the superpoint. Average, mean and the
product with the text embeddings are all linear, so H is kept as K logits for each point in place of C
features. This gives the same labels and takes K/C of the memory.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from anyscene.arrays import F8
from anyscene.learning.engine.history import History, checksum
from anyscene.learning.engine.processes import Processes
from anyscene.learning.objective import Context, Mean, Objective
from anyscene.learning.objectives import ensembling
from anyscene.learning.objectives.cosine import OfSuperpoints, smallest
from anyscene.learning.views.clouds import Clouds
from anyscene.networks import Batch, Cloud, MinkUNet, View
from anyscene.networks.minkunet import Convolution
from anyscene.networks.trained import hidden as hidden_of_points

RARE = 0.003  # added to the share of a class, so that weights of rare classes are bounded


class Ensembling(Objective):
    """L = CE(logits, point labels) + CE(superpoint means of logits, superpoint labels), where logits = phi .
    text / temperature (Li et al. 2025, SAS).

    After each visit H = momentum H + (1 - momentum) phi . text, in float32: with momentum .9999 half
    precision would lose the update. H begins with the answers of the network before the first step, at every
    point (`start: paper`) or as superpoint means (`start: code`).

    With `loss: paper` the distillation continues beside it, on the same pass through the network. All voxels
    count, and the label of a point comes from its own history before this visit.

    With `loss: code` it is alone, as in SAS's code (run/distill_EMA.py:358-427). The history of this visit
    counts, in which the answer weighs 1 - momentum. Of the voxels of a process at most points_per_process are
    sampled, over which the history of a superpoint and its logits are means. The label of a voxel is that of
    its superpoint.

    A class of share f among the first pseudo labels weighs (f + RARE) ** -balance in the loss; with balance 0
    all classes weigh alike, as in the paper and in the released code."""

    Settings = ensembling.Settings
    text: torch.Tensor  # f4[K, C], the prompts
    weight: torch.Tensor  # f4[K], of the classes in the loss

    def __init__(self, settings: ensembling.Settings, context: Context):
        super().__init__(settings, context)
        text = torch.from_numpy(context.prompts()).to(context.network.final.kernel)
        self.register_buffer("text", text, persistent=False)
        self.register_buffer("weight", text.new_ones(len(text)), persistent=False)
        self.history = History(context.memory)
        self.beside = OfSuperpoints(settings, context) if settings.loss == "paper" else None

    @property
    def identity(self) -> Mapping[str, Any]:
        return {**super().identity, "text": checksum(self.text.cpu().numpy().tobytes())}

    def views(self, cloud: Cloud, rng: np.random.Generator) -> Sequence[View]:
        return super().views(cloud, rng) if self.beside is None else self.beside.views(cloud, rng)

    def forward(self, network: MinkUNet, batch: Batch) -> dict[str, Mean]:
        hidden = network.hidden(batch.maps, batch.features)
        if self.beside is None:
            return self.terms(hidden, network.final, batch)
        both = {
            "distillation": self.beside.terms(hidden, network.final, batch),
            "ensembling": self.terms(hidden, network.final, batch),
        }
        return {f"{part}_{name}": mean for part, terms in both.items() for name, mean in terms.items()}

    def terms(self, hidden: torch.Tensor, final: Convolution, batch: Batch) -> dict[str, Mean]:
        """The terms of ensembling alone; this also updates the histories. hidden: f4[V, H] of the batch's
        voxels; final: the layer that makes features of them."""
        logits = class_logits(hidden, final, self.text)
        points, superpoints, told, owners, keys, before = [], [], [], [], [], 0
        for i, view in enumerate(batch.views):
            cloud, momentum = view.cloud, self.settings.momentum
            history = torch.from_numpy(self.history[cloud.id]).to(hidden.device)  # [N, K]
            owner = torch.from_numpy(cloud.superpoint.astype(np.int64)).to(hidden.device)  # [N]
            first, voxel = (
                torch.from_numpy(part).to(hidden.device) for part in (view.voxels.point, view.voxels.voxel)
            )
            of_scene = logits[batch.start[i] : batch.start[i + 1]]  # [V, K]
            with torch.no_grad():
                new = history * momentum
                new.add_(of_scene.index_select(0, voxel), alpha=1 - momentum)
            if self.settings.loss == "code":
                told.append(new[first])
                owners.append(owner[first] + before)
                keys.append(self._keys(view))
                before += int(owner.max()) + 1
            else:
                label, pooled_label = pseudo_labels(history, owner)
                mean, seen = superpoint_mean(of_scene, owner[first])
                points.append((of_scene, label[first]))
                superpoints.append((mean, pooled_label[seen]))
            self.history[cloud.id] = new.cpu().numpy()  # `history` may lie in the same memory
        if self.settings.loss == "code":
            kept = torch.from_numpy(smallest(np.concatenate(keys), self.settings.points_per_process))
            return self._as_released(logits, torch.cat(told), torch.cat(owners), kept.to(logits.device))
        return {"point": self._cross_entropy(points), "superpoint": self._cross_entropy(superpoints)}

    def _keys(self, view: View) -> F8:
        """f8[V]: a random key for each voxel of a view, where a process samples them; else no keys."""
        if not self.settings.points_per_process or view.random is None:
            return np.zeros(len(view.features))
        return view.random.random(len(view.features))

    def _as_released(
        self, logits: torch.Tensor, told: torch.Tensor, owner: torch.Tensor, kept: torch.Tensor
    ) -> dict[str, Mean]:
        """The terms of `loss: code`. logits, told: f4[V, K] of all voxels, as the network answers and as the
        histories say; owner: i8[V], their superpoints, numbered through the batch; kept: i8[n], the voxels
        that are sampled."""
        logits, owner = logits.index_select(0, kept), owner[kept]
        history, _ = superpoint_mean(told[kept], owner)
        mean, seen = superpoint_mean(logits, owner)
        label = history.argmax(1)
        of_voxel = label[torch.searchsorted(seen, owner)]
        return {
            "point": self._cross_entropy([(logits, of_voxel)]),
            "superpoint": self._cross_entropy([(mean, label)]),
        }

    def _cross_entropy(self, parts: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> Mean:
        """The cross entropy of (logits [n, K], label i8[n]) of every scene."""
        logits, label = (torch.cat(part) for part in zip(*parts, strict=True))
        losses = functional.cross_entropy(logits / self.settings.temperature, label, reduction="none")
        return Mean.of(losses, self.weight[label])

    def begin(self, network: MinkUNet, clouds: Clouds, processes: Processes) -> None:
        """Start the history of every scene with the answers of the network as it is now, without
        augmentation."""
        counts = np.zeros(len(self.text))
        for cloud in clouds:
            hidden = hidden_of_points(network, cloud, self.context.voxel, self.context.inputs)
            with torch.no_grad():
                logits = class_logits(hidden, network.final, self.text)
                if self.settings.start == "code":
                    owner = torch.from_numpy(cloud.superpoint.astype(np.int64)).to(logits.device)
                    mean, seen = superpoint_mean(logits, owner)
                    logits = mean[torch.searchsorted(seen, owner)]
            self.history[cloud.id] = logits.cpu().numpy()
            counts += np.bincount(logits.argmax(1).cpu(), minlength=len(counts))
        self._weigh(processes.sum(counts.tolist()))

    def _weigh(self, counts: Sequence[float]) -> None:
        self._counts = list(counts)
        share = torch.tensor(counts, dtype=torch.float64) / max(1.0, sum(counts))
        self.weight = ((share + RARE) ** -self.settings.balance).to(self.text)

    def freeze(self) -> dict[str, Any]:
        return {"counts": self._counts, "history": self.history.freeze()}

    def restore(self, frozen: Sequence[Mapping[str, Any]], scenes: Collection[str]) -> None:
        files = {scene: file for part in frozen for scene, file in part["history"].items()}
        self.history.restore({scene: files[scene] for scene in scenes})
        self._weigh(frozen[0]["counts"])

    def prune(self) -> None:
        self.history.prune()


def class_logits(hidden: torch.Tensor, final: Convolution, text: torch.Tensor) -> torch.Tensor:
    """phi . text without forming phi. hidden: f4[n, H]; text: f4[K, C] -> f4[n, K]."""
    logits = hidden @ (final.kernel @ text.T)
    return logits if final.bias is None else logits + final.bias @ text.T


def pseudo_labels(history: torch.Tensor, owner: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The best class of every point i8[N] and of every superpoint i8[L]. history: f4[N, K]; owner: i8[N], the
    superpoint of each point, 0..L-1."""
    total = history.new_zeros(int(owner.max()) + 1, history.shape[1]).index_add_(0, owner, history)
    return history.argmax(1), total.argmax(1)


def superpoint_mean(values: torch.Tensor, owner: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean of each superpoint that occurs f4[m, K], and which these are i8[m]. values: f4[n, K]; owner:
    i8[n], the superpoint of each row."""
    seen, place = torch.unique(owner, return_inverse=True)
    total = values.new_zeros(len(seen), values.shape[1]).index_add_(0, place, values)
    return total / torch.bincount(place, minlength=len(seen)).unsqueeze(1), seen
