"""A small synthetic world: rooms of planes and boxes with superpoints and fused features, as artefacts."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from anyscene.learning.objective import Context, Objective
from anyscene.networks import Cloud, MinkUNet
from anyscene.networks.batch import View
from anyscene.project import store
from anyscene.project.parameters import OBJECTIVES, Recipe

CLASSES, WIDTH, VOXEL = 5, 12, 0.15
RATES = {"final_learning_rate": 0.001, "warmup": 2}
SETTINGS = {  # of the objectives that the project has
    "points_per_scene": 20_000,
    "points_per_process": 0,
    "superpoint_mean": "points",
    "align": True,
    "start": "paper",
    "loss": "paper",
    "momentum": 0.9,
    "temperature": 0.5,
    "balance": 1.0,
}


def room(seed: int, spacing: float = 0.12) -> tuple[Cloud, np.ndarray]:
    """(the cloud, class i8[N]): wall 0, floor 1, boxes of three shapes 2..4; every face a superpoint."""
    rng = np.random.default_rng(seed)
    points, owner, label = [], [], []

    def face(corner, one, two, kind):
        steps = [max(2, int(np.linalg.norm(side) / spacing)) for side in (one, two)]
        a, b = (axis.reshape(-1, 1) for axis in np.meshgrid(*((np.arange(n) + 0.5) / n for n in steps)))
        points.append(np.array(corner) + a * np.array(one) + b * np.array(two))
        label.append(np.full(len(a), kind))
        owner.append(np.full(len(a), len(owner)))

    face((0, 0, 0), (3, 0, 0), (0, 2.5, 0), 1)
    face((0, 0, 0), (3, 0, 0), (0, 0, 2), 0)
    face((0, 0, 0), (0, 2.5, 0), (0, 0, 2), 0)
    for _ in range(3):
        kind = int(rng.integers(2, 5))
        width, height = {2: (0.9, 0.4), 3: (0.4, 0.9), 4: (0.3, 0.3)}[kind]
        x, y = rng.uniform(0.2, 1.6, 2)
        face((x, y, height), (width, 0, 0), (0, width, 0), kind)
        face((x, y, 0), (width, 0, 0), (0, 0, height), kind)
        face((x, y, 0), (0, width, 0), (0, 0, height), kind)
    xyz = np.concatenate(points).astype(np.float32)
    rgb = rng.integers(0, 256, xyz.shape).astype(np.uint8)
    return Cloud(f"room{seed}", xyz, rgb, np.concatenate(owner).astype(np.int32)), np.concatenate(label)


def text() -> np.ndarray:
    """f4[CLASSES, WIDTH]: unit vectors with much in common, as texts have."""
    vectors = 0.5 + np.random.default_rng(0).normal(size=(CLASSES, WIDTH))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def network(seed: int = 0, precision: str = "float32", backend: str = "torch") -> MinkUNet:
    """A small one with random weights and features as wide as the rooms'."""
    torch.manual_seed(seed)
    return MinkUNet("14A", 3, WIDTH, backend, width=0.25, precision=precision)


def context(trained: MinkUNet, target: Path, memory: Path | None = None, **changes) -> Context:
    """The context of an objective that learns from the folder `target`."""
    settings = {"voxel": VOXEL, "inputs": "colour", "prompts": text} | changes
    return Context(trained, target=target, memory=memory or target.parent / "memory", **settings)


def objective(kind: str, where: Context, **settings) -> Objective:
    """One of an entry point, with `settings` over some that do."""
    entry = OBJECTIVES.get(kind)
    known = {field.name for field in dataclasses.fields(entry.settings)}
    return entry.load()(entry.settings(**{k: v for k, v in SETTINGS.items() if k in known} | settings), where)


def recipe(steps: int, **changes) -> Recipe:
    """Two rooms a step, at a high rate."""
    return Recipe(**{"seed": 0, "steps": steps, "batch": 2, "learning_rate": 0.01} | RATES | changes)


def write(folder: Path, seeds, *, splits=("train",)) -> tuple[Path, Path, Path]:
    """(scenes, superpoints, fusion) folders with one room per seed; the last superpoint has no target."""
    scenes, superpoints, fusion = (folder / name for name in ("scenes", "superpoints", "fusion"))
    for index, seed in enumerate(seeds):
        cloud, label = room(seed)
        rng = np.random.default_rng(seed)
        for stage in (scenes, superpoints, fusion):
            stage.mkdir(parents=True, exist_ok=True)
        group = store.create(store.scene_path(scenes, cloud.id), "key")
        store.write(group, "xyz", cloud.xyz)
        store.write(group, "rgb", cloud.rgb)
        store.write(group, "normal", np.zeros_like(cloud.xyz))
        store.write(group, "face", np.zeros((0, 3), np.int32))
        group.attrs["split"] = splits[index % len(splits)]
        group = store.create(store.scene_path(superpoints, cloud.id), "key")
        store.write(group, "superpoint", cloud.superpoint)
        feature = text()[label] + rng.normal(0, 0.05, (len(label), WIDTH))
        count = np.bincount(cloud.superpoint)[:, None]
        mean = np.stack([np.bincount(cloud.superpoint, f) for f in feature.T], 1) / count
        group = store.create(store.scene_path(fusion, cloud.id), "key")
        store.write(group, "feature", feature.astype(np.float16))
        store.write(group, "valid", rng.random(len(label)) < 0.9)
        store.write(group, "superpoint_feature", mean.astype(np.float16))
        store.write(group, "superpoint_valid", np.arange(len(mean)) < len(mean) - 1)
    return scenes, superpoints, fusion


def write_labels(folder: Path, seeds) -> Path:
    """The folder of labels of the rooms of `write`; every superpoint is an instance."""
    for seed in seeds:
        cloud, label = room(seed)
        group = store.create(store.scene_path(folder / "labels", cloud.id), "key")
        store.write(group, "label", label.astype(np.int16))
        store.write(group, "instance", cloud.superpoint)
    return folder / "labels"


def drawn(views: Sequence[View], states: Mapping[str, Any]) -> np.ndarray:
    """f8[V]: the keys by which ensembling drew the voxels of a step. states: of the generator of each view
    before it, by scene; all views of a step have one generator."""
    generator = np.random.default_rng()
    generator.bit_generator.state = states[views[-1].cloud.id]
    return np.concatenate([generator.random(len(view.features)) for view in views])
