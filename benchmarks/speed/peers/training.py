"""Training steps as in the released code of OpenScene and SAS, on our network and voxels. They read features
and histories of all channels from disk and write out every feature."""

from collections.abc import Iterator, Sequence
from pathlib import Path

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


def write(folder: Path, cloud: Cloud, feature: np.ndarray, seen: np.ndarray) -> None:
    """The fused features of a scene as a .pt file: feat f2[N, C], mask b1[N]."""
    torch.save(
        {"feat": torch.from_numpy(feature).half(), "mask": torch.from_numpy(seen)}, folder / f"{cloud.id}.pt"
    )


def distillation_step(network: MinkUNet, optimiser, scenes: Batch, files) -> float:
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


def ensembling_step(
    network: MinkUNet, optimiser, scenes: Batch, history: Path, text: torch.Tensor, momentum: float
) -> float:
    output = network(scenes.maps, scenes.features)
    averaged, owners, before = [], [], 0
    for i, view in enumerate(scenes.views):
        cloud, voxels = view.cloud, view.voxels
        first, voxel = torch.from_numpy(voxels.point), torch.from_numpy(voxels.voxel)
        with torch.no_grad():
            current = output[scenes.start[i] : scenes.start[i + 1]][voxel]  # [N, C]
            new = momentum * torch.load(history / f"{cloud.id}.pt").float() + (1 - momentum) * current
            torch.save(new.half(), history / f"{cloud.id}.pt")
            averaged.append(new[first])
        owners.append(torch.from_numpy(cloud.superpoint.astype(np.int64))[first] + before)
        before += int(cloud.superpoint.max()) + 1
    averaged, owner = torch.cat(averaged), torch.cat(owners)
    kept = torch.randperm(len(output))[:POINTS]
    _, owner = torch.unique(owner[kept], return_inverse=True)
    label = (_scatter_mean(averaged[kept], owner) @ text.T).argmax(1)
    loss = functional.cross_entropy(output[kept] @ text.T, label[owner])
    loss = loss + functional.cross_entropy(_scatter_mean(output[kept], owner) @ text.T, label)
    return _descend(optimiser, loss)


def _scatter_mean(values: torch.Tensor, owner: torch.Tensor) -> torch.Tensor:
    count = int(owner.max()) + 1
    total = values.new_zeros(count, values.shape[1]).index_add_(0, owner, values)
    return total / torch.bincount(owner, minlength=count).unsqueeze(1)


def _descend(optimiser, loss: torch.Tensor) -> float:
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return loss.item()
