"""Training steps as in the released code of OpenScene and SAS, on our network and voxels. They read features
and histories of all channels from disk and write out every feature."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from anyscene.learning.views.augmentation import augmented
from anyscene.networks import Batch, Cloud, MinkUNet
from anyscene.networks.batch import join
from anyscene.project.parameters import Augmentation

POINTS = 20_000  # that enter the loss of a step


class Scenes(Dataset):
    """Batches of `size` augmented scenes as voxels, each with its target from `folder` if there is one."""

    def __init__(
        self, clouds: Sequence[Cloud], size: int, voxel: float, how: Augmentation, folder: Path | None = None
    ):
        self.clouds, self.size, self.voxel, self.how, self.folder = clouds, size, voxel, how, folder

    def __len__(self) -> int:
        return 10**6

    def __getitem__(self, step: int) -> tuple[Batch, list[dict[str, torch.Tensor]]]:
        rng = np.random.default_rng(step)
        chosen = [self.clouds[i] for i in rng.choice(len(self.clouds), self.size, replace=False)]
        random = [np.random.default_rng([step, i]) for i in range(self.size)]
        scenes = join(
            [
                augmented(cloud, rng, self.voxel, "colour", self.how)
                for cloud, rng in zip(chosen, random, strict=True)
            ]
        )
        files = [torch.load(self.folder / f"{cloud.id}.pt") for cloud in chosen] if self.folder else []
        return scenes, files


def loader(scenes: Scenes) -> Iterator[tuple[Batch, list[dict[str, torch.Tensor]]]]:
    """A loader of these batches, which are prepared in another process."""
    return iter(DataLoader(scenes, batch_size=None, num_workers=1))


class Released(ABC):
    """How the released code trains with one kind of objective. `folder` takes what it reads at each step."""

    # The objective of this project that it restates. It is named here, unlike elsewhere, because published
    # code trains with one objective and with no other.
    kind: str
    against: str  # what it does that ours does not
    targets: bool  # whether a batch has a file of each scene

    def __init__(self, folder: Path, text: torch.Tensor, settings: Any):
        """text: f4[K, C], the prompts; settings: those of the objective."""
        self.folder, self.text, self.settings = folder, text, settings

    @abstractmethod
    def prepare(
        self,
        cloud: Cloud,
        fused: Callable[[], tuple[np.ndarray, np.ndarray]],
        answers: Callable[[], torch.Tensor],
    ) -> None:
        """Write the file of a scene, of its fused features (f2[N, C], valid b1[N]) or of what the network
        says of its points (f4[N, C])."""

    @abstractmethod
    def step(self, network: MinkUNet, optimiser, scenes: Batch, files) -> float:
        """One step on a batch; returns its loss."""


class Distillation(Released):
    kind, targets = "superpoint", True
    against = "the released code restated: features from .pt files, written out"

    def prepare(self, cloud, fused, answers) -> None:
        feature, seen = fused()
        file = {"feat": torch.from_numpy(feature).half(), "mask": torch.from_numpy(seen)}
        torch.save(file, self.folder / f"{cloud.id}.pt")

    def step(self, network: MinkUNet, optimiser, scenes: Batch, files) -> float:
        output = network(scenes.maps, scenes.features)  # [V, C]
        targets, owners, before = [], [], 0
        for view, file in zip(scenes.views, files, strict=True):
            cloud, voxels = view.cloud, view.voxels
            first = torch.from_numpy(voxels.point)
            owner = torch.from_numpy(cloud.superpoint.astype(np.int64))[first]
            targets.append(torch.where(file["mask"][first].unsqueeze(1), file["feat"][first].float(), 0))
            owners.append(owner + before)
            before += int(cloud.superpoint.max()) + 1
        target, owner = torch.cat(targets), torch.cat(owners)
        seen = torch.nonzero(target.abs().sum(1)).squeeze(1)
        kept = seen[torch.randperm(len(seen))[:POINTS]]
        output, target = output[kept], target[kept]
        _, owner = torch.unique(owner[kept], return_inverse=True)
        mean = _scatter_mean(target, owner)
        loss = (1 - functional.cosine_similarity(output, mean[owner])).mean()
        loss = loss + (1 - functional.cosine_similarity(_scatter_mean(output, owner), mean)).mean()
        return _descend(optimiser, loss)


class Ensembling(Released):
    kind, targets = "ensembling", False
    against = "the released code restated: a half precision history [N, C] loaded and saved"

    def prepare(self, cloud, fused, answers) -> None:
        torch.save(answers().half(), self.folder / f"{cloud.id}.pt")

    def step(self, network: MinkUNet, optimiser, scenes: Batch, files) -> float:
        momentum = self.settings.momentum
        output = network(scenes.maps, scenes.features)
        averaged, owners, before = [], [], 0
        for i, view in enumerate(scenes.views):
            cloud, voxels = view.cloud, view.voxels
            first, voxel = torch.from_numpy(voxels.point), torch.from_numpy(voxels.voxel)
            with torch.no_grad():
                current = output[scenes.start[i] : scenes.start[i + 1]][voxel]  # [N, C]
                new = momentum * torch.load(self.folder / f"{cloud.id}.pt").float() + (1 - momentum) * current
                torch.save(new.half(), self.folder / f"{cloud.id}.pt")
                averaged.append(new[first])
            owners.append(torch.from_numpy(cloud.superpoint.astype(np.int64))[first] + before)
            before += int(cloud.superpoint.max()) + 1
        averaged, owner = torch.cat(averaged), torch.cat(owners)
        kept = torch.randperm(len(output))[:POINTS]
        _, owner = torch.unique(owner[kept], return_inverse=True)
        label = (_scatter_mean(averaged[kept], owner) @ self.text.T).argmax(1)
        loss = functional.cross_entropy(output[kept] @ self.text.T, label[owner])
        loss = loss + functional.cross_entropy(_scatter_mean(output[kept], owner) @ self.text.T, label)
        return _descend(optimiser, loss)


ALL = (Distillation, Ensembling)


def _scatter_mean(values: torch.Tensor, owner: torch.Tensor) -> torch.Tensor:
    count = int(owner.max()) + 1
    total = values.new_zeros(count, values.shape[1]).index_add_(0, owner, values)
    return total / torch.bincount(owner, minlength=count).unsqueeze(1)


def _descend(optimiser, loss: torch.Tensor) -> float:
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return loss.item()
