"""Where features can come from: fusion, every 2D model, and every trained network. Only fusion is known here
by its name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from anyscene.errors import StoreError
from anyscene.networks.checkpoint import DESCRIPTION
from anyscene.networks.cloud import Cloud
from anyscene.networks.trained import Description, TrainedNetwork, described, require_recorded
from anyscene.project import store
from anyscene.project.device import choose_device
from anyscene.project.layout import Artefacts
from anyscene.tasks.features import Features, predicted, spoken, stored
from anyscene.tasks.surface import Surface

FUSION, FUSED = "fusion", "fused"  # the source, and its title
PROJECTED = "projection/"  # begins the sources that are 2D models
UNTRAINED = (
    "no trained network; run `dvc repro` in a clone or a project, or give the folder of one by --source "
    "(source= in Python): models/demo/student of a clone is the demo's"
)


def networks(artefacts: Artefacts) -> tuple[Description, ...]:
    """All trained networks, the most refined one last."""
    return described(artefacts.networks)


def names(artefacts: Artefacts, scene: str | None = None) -> tuple[str, ...]:
    """The names of the sources that exist, the most refined one last. scene: fusion is one of them where it
    has this scene; None: where it has any."""
    fusion = artefacts.data(FUSION)
    fused = artefacts.has(fusion) if scene is None else store.scene_path(fusion, scene).is_dir()
    return (*((FUSION,) if fused else ()), *(network.name for network in networks(artefacts)))


def titles(artefacts: Artefacts) -> dict[str, str]:
    """The titles of fusion and of every trained network, for people, by their names."""
    return {FUSION: FUSED, **{network.name: spoken(network) for network in networks(artefacts)}}


def default(artefacts: Artefacts, scene: str | None = None) -> str:
    """The source where none is named: the most refined network, else fusion. Raises CheckpointError where a
    network that was trained is lost, which might be that one."""
    require_recorded(artefacts)
    return next(reversed(names(artefacts, scene)), FUSION)


def network(artefacts: Artefacts, source: str | None = None, device: str = "cpu") -> TrainedNetwork:
    """The network `source`: its name, or the path of its folder; by default the most refined one. device: as
    runtime.device names it.

    Raises StoreError naming the known ones, CheckpointError where its files are damaged, and ConfigError
    where there is no such device."""
    about, on = _described(artefacts, source), choose_device(device)
    if isinstance(about, Path):
        return TrainedNetwork.load(about).on(on)
    return replace(TrainedNetwork.load(about.folder), description=about).on(on)


def folder(artefacts: Artefacts, source: str | None = None) -> Path:
    """The folder of the network `source`, as for `network`. Raises StoreError naming the known ones."""
    about = _described(artefacts, source)
    return about if isinstance(about, Path) else about.folder


def of_scene(artefacts: Artefacts, scene: str, source: str | None = None, device: str = "cpu") -> Features:
    """The features of an imported scene. source: "fusion", "projection/MODEL", a network's name or the path
    of its folder; by default the most refined network, else fusion. device: of a network, as for `network`.

    Raises StoreError naming the known sources."""
    return opened(artefacts, source or default(artefacts, scene), device)(scene)


def opened(artefacts: Artefacts, source: str, device: str = "cpu") -> Callable[[str], Features]:
    """A function that returns the features of any imported scene from `source`. A network is read once.
    device: as for `network`."""
    if source == FUSION:
        return lambda scene: _fused(artefacts, scene)
    if is_stored(source):
        return lambda scene: stored(artefacts, scene, source, source.removeprefix(PROJECTED))
    trained = network(artefacts, source, device)
    return lambda scene: predicted(trained, Surface.read(artefacts, scene).cloud)


def of_scan(artefacts: Artefacts, cloud: Cloud, source: str | None = None, device: str = "cpu") -> Features:
    """The features of a scan that was not imported, from the network `source`; by default the most refined
    one. device: as for `network`.

    Raises StoreError where no network is trained, or `source` is not one."""
    if source is not None:
        check(artefacts, source)
    return predicted(network(artefacts, source, device), cloud)


def check(artefacts: Artefacts, source: str | None, scene: str | None = None) -> None:
    """Raise StoreError where there is no `source` of features of the imported `scene`; None: of a scan that
    was not imported, of which only a network has features. source: as for `network`."""
    if source is None or not is_stored(source):
        folder(artefacts, source)
    elif scene is None:
        raise StoreError(
            f"{source}: features of scenes that were imported; set dataset.root, run `dvc repro fusion` and "
            "give the scene's id, or take a network"
        )
    else:
        of_scene(artefacts, scene, source)


def is_stored(source: str) -> bool:
    """Whether features of `source` lie in data/, and are not a network's."""
    return source == FUSION or source.startswith(PROJECTED)


def is_network(folder: str | Path) -> bool:
    """Whether `folder` holds a trained network."""
    return (Path(folder) / DESCRIPTION).is_file()


def _fused(artefacts: Artefacts, scene: str) -> Features:
    path = store.scene_path(artefacts.data(FUSION), scene)
    if path.is_dir():
        return stored(artefacts, scene, FUSION, FUSED)
    if there := ", ".join(names(artefacts, scene)):
        raise StoreError(f"{path}: no fused features; there are features of {there}")
    raise StoreError(f"{path}: neither fused features nor a trained network; run `dvc repro`")


def _described(artefacts: Artefacts, source: str | None) -> Description | Path:
    """The description of a network under models/, or the folder of another one."""
    if source is None:
        require_recorded(artefacts)
    trained = {found.name: found for found in networks(artefacts)}
    if source is None and trained:
        return next(reversed(trained.values()))
    if source is None:
        raise StoreError(f"{artefacts.networks}: {UNTRAINED}")
    if source in trained:
        return trained[source]
    if is_network(source):
        return Path(source)
    there = ", ".join(names(artefacts)) or "none"
    raise StoreError(f"no features of {source}; there are {there}, or give the folder of a network")
