"""Trained networks: the list of those under models/, and their features for every point of a cloud."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import torch

from anyscene.errors import ConfigError
from anyscene.networks.batch import Inputs, as_it_is, join
from anyscene.networks.checkpoint import DESCRIPTION, CheckpointError, description, load
from anyscene.networks.cloud import Cloud
from anyscene.networks.minkunet import MinkUNet


@dataclass(frozen=True)
class Description:
    """What network.json says of a trained network; its weights need not be read for it."""

    name: str  # of its folder under models/
    title: str  # for people, such as "superpoint distillation"
    kind: str  # of the objective that trained it, such as "superpoint"
    start: str | None  # name of the network that it began from; None: none of models/
    supervised: bool  # whether it was shown labels
    backend: str  # of its sparse convolutions, in training
    folder: Path


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """A network and how to show it a cloud.

        TrainedNetwork.load(described(Path("models"))[-1].folder).features(cloud)

    Its answers are those of evaluation: without augmentation, normalised by the running statistics."""

    description: Description
    network: MinkUNet
    voxel: float  # metres
    inputs: Inputs

    @classmethod
    def load(cls, folder: Path, backend: str | None = None) -> TrainedNetwork:
        """The network in `folder`, in evaluation mode. backend: other than it was trained with.

        Raises CheckpointError naming the file that is missing, damaged or of another network."""
        network, meta = load(folder, backend)
        try:
            return cls(_described(Path(folder), meta), network, float(meta["voxel"]), meta["input"])
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{Path(folder) / DESCRIPTION}: does not say what the network is shown ({error}); train it "
                "again"
            ) from error

    def hidden(self, cloud: Cloud, turns: int = 1) -> torch.Tensor:
        """f4[N, H]: what the network's last layer is given at every point, the mean over `turns` equal turns
        of the cloud about the vertical. Raises ConfigError for less than one."""
        return hidden(self.network, cloud, self.voxel, self.inputs, turns)

    @torch.inference_mode()
    def features(self, cloud: Cloud, turns: int = 1) -> np.ndarray:
        """f4[N, C]: the feature of every point, that of its voxel; turns as in `hidden`."""
        return self.network.final(self.hidden(cloud, turns)).cpu().numpy()


@torch.inference_mode()
def hidden(network: MinkUNet, cloud: Cloud, voxel: float, inputs: Inputs, turns: int = 1) -> torch.Tensor:
    """f4[N, H]: `TrainedNetwork.hidden` of a network that may still be in training, and then stays so."""
    if turns < 1:
        raise ConfigError(f"turns: {turns}; predictions are averaged over at least 1")
    was_training = network.training
    network.eval()
    device = network.final.kernel.device
    total = None
    for turn in range(turns):
        turned = replace(cloud, xyz=cloud.xyz @ _turn(2 * np.pi * turn / turns).T) if turn else cloud
        view = as_it_is(turned, voxel, inputs)
        seen = join([view], device)
        rows = network.hidden(seen.maps, seen.features)
        rows = rows.index_select(0, torch.from_numpy(view.voxels.voxel).to(device))
        total = rows if total is None else total.add_(rows)
    network.train(was_training)
    return total / turns


def described(models: Path) -> tuple[Description, ...]:
    """The networks in the folders of `models`, the most refined one last: by how many networks stand before
    them in the chain that they began from, then in the order of `training:`, then by name.

    Folders without a network.json are none. Raises CheckpointError naming one that cannot be read."""
    found: dict[str, tuple[float, Description]] = {}
    for file in sorted(Path(models).glob(f"*/{DESCRIPTION}")):
        meta = description(file.parent)
        place = meta.get("place")
        one = replace(_described(file.parent, meta), name=file.parent.name)  # of a copy too
        found[one.name] = (inf if place is None else place, one)

    def before(name: str | None, seen: frozenset[str] = frozenset()) -> int:
        if name not in found or name in seen:  # descriptions of several runs may name each other
            return 0
        return 1 + before(found[name][1].start, seen | {name})

    ordered = sorted(found.values(), key=lambda entry: (before(entry[1].start), entry[0], entry[1].name))
    return tuple(one for _, one in ordered)


def _described(folder: Path, meta: Mapping[str, Any]) -> Description:
    """A network that was saved without saying how it came about is one of its own kind."""
    name = meta.get("name", folder.resolve().name)
    return Description(
        name,
        meta.get("title", name),
        meta.get("kind", name),
        meta.get("start"),
        bool(meta.get("supervised", False)),
        meta.get("backend", "torch"),
        folder,
    )


def _turn(angle: float) -> np.ndarray:
    """f4[3, 3]: about z, in radians."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]], np.float32)
