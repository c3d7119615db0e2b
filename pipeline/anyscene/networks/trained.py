"""Trained networks: the list of those under models/, and their features for every point of a cloud."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import torch

from anyscene.arrays import F4, I8
from anyscene.errors import CheckpointError, ConfigError
from anyscene.networks.batch import View, as_it_is, join
from anyscene.networks.checkpoint import DESCRIPTION, description, load
from anyscene.networks.cloud import Cloud
from anyscene.networks.minkunet import MinkUNet
from anyscene.networks.receptive import halo
from anyscene.networks.tiles import AT_ONCE, tiles
from anyscene.networks.voxels import Voxels
from anyscene.project import layout
from anyscene.project.device import enough_memory
from anyscene.project.layout import Artefacts
from anyscene.project.parameters import MOST_TURNS, Backend, NetworkInput

ROWS = 1 << 17  # rows of which features are formed at a time


@dataclass(frozen=True)
class Description:
    """What network.json says of a trained network. It is known without reading the weights."""

    name: str  # of its folder under models/
    title: str  # for people
    kind: str  # of the objective that trained it, such as "superpoint"
    start: str | None  # name of the network that it began from; None: none of models/
    supervised: bool  # whether labels were shown to it in training
    backend: str  # of its sparse convolutions in training
    folder: Path
    inputs: str = ""  # what it is given of each voxel; "" where that is not known, as below
    voxel: float = 0.0  # its side in metres
    variant: str = ""  # of the architecture
    # data set and number of the scenes that it was trained on, and the rule that fused what it learnt of them
    trained_on: Mapping[str, Any] = field(default_factory=dict)

    @property
    def fused_by(self) -> str | None:
        """The rule that fused the features it learnt; None where it learnt none, or it is not known."""
        return (self.trained_on.get("fusion") or {}).get("method")


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """A network, and how clouds are shown to it.

        TrainedNetwork.load(described(Path("models"))[-1].folder).features(cloud)

    It answers as in evaluation: clouds are not augmented, and norms use the running statistics."""

    description: Description
    network: MinkUNet
    voxel: float  # side in metres
    inputs: NetworkInput  # what it is given of each voxel

    @classmethod
    def load(cls, folder: Path, backend: Backend | None = None) -> TrainedNetwork:
        """The network in `folder`, in evaluation mode. backend: of its sparse convolutions; None: the one
        that it was trained with.

        Raises CheckpointError naming the file that is missing, damaged or of another network."""
        network, meta = load(folder, backend)
        try:
            return cls(_described(Path(folder), meta), network, float(meta["voxel"]), meta["input"])
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{Path(folder) / DESCRIPTION}: does not say which input it takes ({error}); train it again"
            ) from error

    def on(self, device: torch.device) -> TrainedNetwork:
        """The same network, computed on `device`. One whose backend is MinkowskiEngine stays where it is:
        that may be built for the CPU alone."""
        if self.network.backend != "minkowski":
            self.network.to(device)
        return self

    def hidden(self, cloud: Cloud, turns: int = 1) -> torch.Tensor:
        """f4[N, H]: the input of the network's last layer at every point, the mean over `turns` views of the
        cloud that are turned about the vertical in equal steps. Raises ConfigError where they are not 1 to
        MOST_TURNS."""
        return hidden(self.network, cloud, self.voxel, self.inputs, turns)

    @torch.inference_mode()
    def closest(self, cloud: Cloud, text: F4, turns: int = 1) -> I8:
        """i8[N]: the text that is closest to the feature of every point. text: f4[K, C]; turns as in
        `hidden`.

        With one turn features are formed for some voxels at a time, and kept of none."""
        columns = torch.from_numpy(text.T.copy()).to(self.network.final.kernel.device)

        def of_rows(rows: torch.Tensor) -> I8:
            blocks = (self.network.final(block) @ columns for block in torch.split(rows, ROWS))
            return torch.cat([block.argmax(1) for block in blocks]).cpu().numpy()

        if turns != 1:
            return of_rows(self.hidden(cloud, turns))
        self.network.eval()
        view = as_it_is(cloud, self.voxel, self.inputs)
        best = np.empty(len(view.features), np.int64)
        for own, rows in passes(self.network, view):
            best[own] = of_rows(rows)
        return best[view.voxels.voxel]

    @torch.inference_mode()
    def features(self, cloud: Cloud, turns: int = 1) -> F4:
        """f4[N, C]: the feature of every point, which is that of its voxel; turns as in `hidden`."""
        feature: torch.Tensor = self.network.final(self.hidden(cloud, turns))
        return feature.cpu().numpy()


@torch.inference_mode()
def hidden(
    network: MinkUNet, cloud: Cloud, voxel: float, inputs: NetworkInput, turns: int = 1
) -> torch.Tensor:
    """f4[N, H]: as `TrainedNetwork.hidden`, of a network that may still be in training and then stays so."""
    if not 1 <= turns <= MOST_TURNS:
        raise ConfigError(f"turns: {turns}; predictions are averaged over 1 to {MOST_TURNS}")
    was_training = network.training
    network.eval()
    device = network.final.kernel.device
    total: torch.Tensor | None = None
    for turn in range(turns):
        turned = replace(cloud, xyz=cloud.xyz @ _turn(2 * np.pi * turn / turns).T) if turn else cloud
        view = as_it_is(turned, voxel, inputs)
        rows = torch.empty((len(view.features), network.hidden_channels), device=device)
        with enough_memory(f"{cloud.id}: {len(cloud.xyz):,} points"):
            for own, answer in passes(network, view):
                rows[torch.from_numpy(own).to(device)] = answer
        rows = rows.index_select(0, torch.from_numpy(view.voxels.voxel).to(device))
        total = rows if total is None else total.add_(rows)
    network.train(was_training)
    assert total is not None  # there is at least one turn
    return total / turns


def passes(network: MinkUNet, view: View, most: int = AT_ONCE) -> Iterator[tuple[I8, torch.Tensor]]:
    """Yield (i8[n], f4[n, H]), some voxels of `view` and the input of the last layer at these: for a large
    view in tiles, of which each shows `most` voxels or what `tiles` says. The network must be in evaluation
    mode, where the answer at a voxel depends on those near it alone."""
    voxels, device = view.voxels, network.final.kernel.device
    for tile in tiles(voxels.coordinates, halo(str(network.settings["variant"])), most):
        shown = Voxels(voxels.coordinates[tile.seen], voxels.point[tile.seen], np.empty(0, np.int64))
        seen = join([View(view.cloud, shown, view.features[tile.seen])], device)
        rows = network.hidden(seen.maps, seen.features)
        yield tile.own, rows[torch.from_numpy(tile.answered).to(device)]


def first_weights(network: Description, models: Path) -> Description | None:
    """The network in a folder of `models` whose weights `network` began from, under its path there, such as
    "demo/student"; None where it began from random weights or a file, or the folder is gone."""
    folder = models / (network.start or "")
    if not network.start or not (folder / DESCRIPTION).is_file():
        return None
    return replace(_described(folder, description(folder)), name=network.start)


def described(models: Path) -> tuple[Description, ...]:
    """The networks in the folders of `models`, the most refined one last. They are ordered by how many
    networks stand before each in the chain that it began from, then as in `training:`, then by name.

    Folders without a network.json are passed over. Raises CheckpointError naming one that cannot be read."""
    found: dict[str, tuple[float, Description]] = {}
    for file in sorted(Path(models).glob(f"*/{DESCRIPTION}")):
        meta = description(file.parent)
        place = meta.get("place")
        one = replace(_described(file.parent, meta), name=file.parent.name)  # a copy has its own name
        found[one.name] = (inf if place is None else place, one)

    def before(name: str | None, seen: frozenset[str] = frozenset()) -> int:
        if name not in found or name in seen:  # descriptions of several runs may name each other
            return 0
        return 1 + before(found[name][1].start, seen | {name})

    ordered = sorted(found.values(), key=lambda entry: (before(entry[1].start), entry[0], entry[1].name))
    return tuple(one for _, one in ordered)


def require_recorded(artefacts: Artefacts) -> None:
    """Raise CheckpointError where a network that was trained, as data/networks notes, is not in models/ any
    more. Another one would silently take its place."""
    for file in sorted((artefacts.root / layout.TRAINED).glob("*.json")):
        folder = artefacts.model(file.stem)
        if not (folder / DESCRIPTION).is_file():
            raise CheckpointError(
                f"{folder / DESCRIPTION}: lost, for {file} notes that the network was trained; bring it back "
                f"by `dvc checkout {layout.NETWORKS / file.stem}`, train it again, or remove that note"
            )


def _described(folder: Path, meta: Mapping[str, Any]) -> Description:
    """What `meta` says of the network in `folder`. Where it does not say which objective trained it, the
    network is one of its own kind."""
    name = meta.get("name", folder.resolve().name)
    return Description(
        name,
        meta.get("title", name),
        meta.get("kind", name),
        meta.get("start"),
        bool(meta.get("supervised", False)),
        meta.get("backend", "torch"),
        folder,
        meta.get("input", ""),
        float(meta.get("voxel", 0.0)),
        (meta.get("network") or {}).get("variant", ""),
        meta.get("trained_on") or {},
    )


def _turn(angle: float) -> F4:
    """f4[3, 3]: the turn by `angle` radians about z."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]], np.float32)
