"""An entry of `training` in params.yaml -> a trained network in models/NAME."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from anyscene import datasets
from anyscene.arrays import F4
from anyscene.errors import ConfigError
from anyscene.learning.engine import curve as curves
from anyscene.learning.engine.checkpoint import Checkpoints
from anyscene.learning.engine.curve import Curve
from anyscene.learning.engine.loop import train
from anyscene.learning.engine.processes import joined
from anyscene.learning.engine.recent import GIB, Recent
from anyscene.learning.entry import Entry
from anyscene.learning.objective import Context
from anyscene.learning.older import Older, is_trained
from anyscene.learning.views.clouds import Clouds, read_labelled_clouds, read_training_clouds
from anyscene.networks import MinkUNet, save
from anyscene.networks.checkpoint import (
    DESCRIPTION,
    WEIGHTS,
    check_weights,
    describe_anew,
    description,
    digest,
    fill,
    note_scenes,
    read_weights,
    record,
)
from anyscene.project import layout, outputs, store
from anyscene.project.freshness import Freshness
from anyscene.project.layout import Artefacts
from anyscene.project.parameters import OBJECTIVES, RANDOM, Network, Params, Training
from anyscene.text import embeddings, load_text_encoder

KEPT = 0.25  # of runtime.memory_gib, for what was read last


def train_network(name: str, params: Params, artefacts: Artefacts, fresh: Freshness) -> None:
    """Train the network that the entry `name` of `training` describes, and write it to models/NAME, and which
    one it is to data/networks/NAME.json.

    A training that was stopped continues from its checkpoint, unless its code, parameters or data have
    changed. A training that has ended is repeated only where these have changed, or where its network is
    damaged. With `fresh.check` so many steps are done again, and what older code made is adopted if its curve
    is the same. Under torchrun every process calls this.

    Raises ConfigError for a name that is no entry, TrainingError where there is nothing to adopt or the curve
    is another, and what reading and training raise."""
    if name not in params.training:
        raise ConfigError(f"no network {name!r} in `training`; there are {', '.join(params.training)}")
    entry = params.training[name]
    kind: Any = OBJECTIVES.get(entry.kind)
    recent = Recent(params.runtime.memory_gib * GIB * KEPT)
    target, beside = artefacts.data(entry.target), artefacts.data(entry.beside)
    clouds = _clouds(kind, artefacts, recent, target, beside)
    trained = artefacts.root / layout.TRAINED / f"{name}.json"
    label = f"training {name}"
    with (
        joined(params.runtime.device, params.runtime.device_memory_gib) as processes,
        _memory(artefacts.root / layout.CHECKPOINTS, name, fresh) as memory,
    ):
        torch.manual_seed(entry.seed)
        network = _network(name, params, _width(params, target, clouds), artefacts).to(processes.device)
        checkpoints = Checkpoints(
            artefacts.root / layout.CHECKPOINTS / name,
            params.runtime.checkpoint_seconds,
            by=fresh.made_by,
            given=fresh.given,
            data=_keys(clouds, artefacts, target, beside),
        )
        context = Context(
            network,
            params.network.voxel,
            params.network.input,
            target,
            memory,
            functools.cache(lambda: _prompts(params, kind)),
            params.augmentation,
            beside,
            recent,
        )
        objective = kind.load()(entry.objective, context).to(processes.device)
        if entry.start == RANDOM:
            objective.initialise(network, clouds)
        folder, given = artefacts.model(name), checkpoints.fingerprint(network, objective, entry)
        meta = _meta(name, params, kind) | {"made": {"given": given, "by": fresh.made_by}}
        meta["trained_on"] = _trained_on(clouds, entry, params, target)
        learn = functools.partial(train, network, clouds, objective, entry, processes=processes)
        if fresh.check:
            older = Older(folder, checkpoints, meta["made"], label)
            rows = learn(label=f"{label}, compared", until=older.steps(fresh.check))
            weights = digest(network) if len(rows) == entry.steps else None
            if processes.first:
                older.adopt(rows, weights)
            return
        if is_trained(folder, meta["made"], label):
            if processes.first:
                describe_anew(network, folder, meta)  # a title may be another, or an entry damaged
                note_scenes(folder, clouds.ids)
                record(folder, trained)
                Console(stderr=True).print(f"{label}: unchanged", highlight=False)
            return
        drawn = artefacts.root / layout.CURVES / name  # so that a training that fails leaves the older curve
        curve = Curve(drawn) if processes.first else None
        learn(label=label, checkpoints=checkpoints, curve=curve)
        if processes.first:
            with outputs.replaced(folder / curves.FOLDER, wholly=True) as partial:
                shutil.copytree(drawn / curves.FOLDER, partial)
                save(network, folder, meta | {"curve": curves.digest(drawn)})
            note_scenes(folder, clouds.ids)
            record(folder, trained)
            checkpoints.clear()
            shutil.rmtree(drawn)


@contextmanager
def _memory(checkpoints: Path, name: str, fresh: Freshness) -> Iterator[Path]:
    """The folder for an objective's own files. Where steps are only compared it is one for the time being, so
    that those of an unfinished training stay as they are."""
    if not fresh.check:
        yield checkpoints / name / "memory"
        return
    folder = checkpoints / f".{name}.compared"
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _clouds(kind: Entry, artefacts: Artefacts, recent: Recent, *learnt: Path) -> Clouds:
    """The clouds to train on: those on which no stage failed. Labels are read only where the objective says
    that it is supervised. learnt: the folders that the objective learns from."""
    scenes, superpoints = artefacts.data("scenes"), artefacts.data("superpoints")
    failed: set[str] = set().union(*(store.failed(folder) for folder in (superpoints, *learnt)))
    if not kind.supervised:
        return read_training_clouds(scenes, superpoints, recent, failed)
    labels = artefacts.data("labels")
    return read_labelled_clouds(scenes, superpoints, labels, recent, failed | store.failed(labels).keys())


def _keys(clouds: Clouds, artefacts: Artefacts, target: Path, beside: Path) -> Mapping[str, list[str]]:
    """The content keys of everything that is read of each scene, by scene. Their places say which folder is
    the target and which lies beside it."""
    scenes, superpoints = artefacts.data("scenes"), artefacts.data("superpoints")
    folders = [scenes, superpoints, target, *([] if beside == scenes else [beside])]
    return {scene: [store.key(store.scene_path(folder, scene)) for folder in folders] for scene in clouds.ids}


def _prompts(params: Params, kind: Entry) -> F4:
    """f4[K, C]: embeddings of the label set's prompts. Raises ConfigError where the entry does not say that
    the objective asks for them, because a change of the texts would go unnoticed."""
    if not kind.texts:
        raise ConfigError(f"{kind.objective}: asks for prompts, and its entry does not say texts=True")
    prompts = datasets.label_set(params.dataset.label_set).prompts
    return embeddings(load_text_encoder(params.text), prompts, params.text.template)


def _width(params: Params, target: Path, clouds: Clouds) -> int:
    """How many channels features have: as many as the text space, in which the fused features lie."""
    first = store.open_scene(store.scene_path(target, clouds.ids[0]))
    if "superpoint_feature" in first:
        return first["superpoint_feature"].shape[1]
    return load_text_encoder(params.text).width


def _network(name: str, params: Params, width: int, artefacts: Artefacts) -> MinkUNet:
    """The network before training, with random weights or those that it begins from.

    Raises CheckpointError where these or the network.json beside them are damaged or of another network, and
    ConfigError where they are missing or were trained with another input."""
    net, start = params.network, params.training[name].start

    def built(bias: bool) -> MinkUNet:
        return MinkUNet(
            net.variant, 3, width, net.backend, width=net.width, bias=bias, precision=net.precision
        )

    if start == RANDOM:
        return built(net.bias)
    path, key = artefacts.model(start), f"training.{name}.from"
    if path.is_dir():
        _check_input(path, net, key)
        path = path / WEIGHTS
    elif not path.is_file():
        raise ConfigError(
            f"{key}: {path} is not there; give a trained network or a file of weights under models/, or "
            f"{RANDOM} to start from random ones"
        )
    state = read_weights(path)
    network = built(bias="final.bias" in state)  # as the file has it
    fill(network, state, path)
    return network


def _check_input(folder: Path, net: Network, key: str) -> None:
    meta = description(folder)
    check_weights(folder, meta)
    for name, wanted in {"input": net.input, "voxel": net.voxel}.items():
        if meta.get(name, wanted) != wanted:
            raise ConfigError(
                f"{key}: {folder / DESCRIPTION} was trained with network.{name} {meta[name]}, not {wanted}; "
                f"change that, or {key} to {RANDOM}"
            )


def _trained_on(clouds: Clouds, entry: Training, params: Params, target: Path) -> dict[str, Any]:
    """What network.json says of the scenes: their data set and number, and by which rule the features that
    the network learns were fused, if they were."""
    found: dict[str, Any] = {"dataset": params.dataset.name, "scenes": len(clouds)}
    if entry.target == "fusion":
        first = store.open_scene(store.scene_path(target, clouds.ids[0]))
        found["fusion"] = first.attrs.get(store.FUSED)  # what older code fused does not say it
    return found


def _meta(name: str, params: Params, kind: Entry) -> dict[str, Any]:
    """What network.json says of the network beside its architecture."""
    entry: Training = params.training[name]
    return {
        "name": name,
        "title": entry.title,
        "kind": entry.kind,
        "start": None if entry.start == RANDOM else entry.start,
        "supervised": kind.supervised,
        "place": list(params.training).index(name),
        "seed": entry.seed,
        "input": params.network.input,
        "voxel": params.network.voxel,
    }
