"""python -m benchmarks.speed.many_clouds WORLD OBJECTIVE [--scenes 400]: training on many scenes.

It prints the memory at the peak and the time of a step. WORLD is `indoor`, 150,000 points a scene with 512
channels each, or `outdoor`, keyframes of 300,000 points that are superpoints of their own. OBJECTIVE is a
kind of `training` in params.yaml. Every scene is visited once. Distinct scenes are few, and the others are
links to them, so that the disk holds them; each is read and kept as if it were another. The network is a
small one, because what grows with the scenes is asked, and not what a network takes. Then steps on DISTINCT
scenes are timed, which are read as above or all held in memory.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import typer
from rich.console import Console

from anyscene.learning.engine.loop import train
from anyscene.learning.engine.processes import Processes
from anyscene.learning.engine.recent import GIB, Recent
from anyscene.learning.objective import Context
from anyscene.learning.train import KEPT
from anyscene.learning.views.clouds import read_training_clouds
from anyscene.networks import MinkUNet
from anyscene.project import parameters, store
from anyscene.project.artefact import FEATURE_BITS
from anyscene.project.parameters import OBJECTIVES, Recipe
from benchmarks.speed.memory import box
from benchmarks.speed.own_process import alone, peak

CHANNELS, DISTINCT, CLASSES = 512, 8, 16
STEPS, REPEATED = 24, 3  # that are timed on DISTINCT scenes, and how often
POINTS = {"indoor": 150_000, "outdoor": 300_000}
VOXEL = {"indoor": 0.05, "outdoor": 0.3}  # metres
SCALE = {"indoor": 1, "outdoor": 8}  # of a room of 6 m x 5 m x 2.7 m
SAMPLED = 20_000  # voxels of a scene in the loss


def write(root: Path, world: str, scenes: int) -> None:
    """The artefacts that a training reads: `DISTINCT` scenes, and links to them."""
    rng, points = np.random.default_rng(0), POINTS[world]
    text = rng.standard_normal((20, CHANNELS), np.float32)
    for place in range(scenes):
        for stage in ("scenes", "superpoints", "fusion"):
            path = store.scene_path(root / stage, f"scene{place:05}")
            path.parent.mkdir(parents=True, exist_ok=True)
            if place >= DISTINCT:
                path.symlink_to(f"scene{place % DISTINCT:05}{store.SUFFIX}")
                continue
            group = store.create(path, "key")
            if stage == "scenes":
                xyz = box(points) * np.float32(SCALE[world])
                store.write(group, "xyz", xyz + np.float32(place))
                store.write(group, "rgb", rng.integers(0, 256, (points, 3), np.uint8))
                group.attrs["split"] = "train"
            elif stage == "superpoints":
                each = 1 if world == "outdoor" else 100
                store.write(group, "superpoint", (np.arange(points) // each).astype(np.int32))
            else:
                name = "superpoint_feature" if world == "outdoor" else "feature"
                feature = text[rng.integers(0, len(text), points)] + rng.standard_normal((1, CHANNELS))
                store.write(group, name, feature.astype(np.float16), keep_bits=FEATURE_BITS)
                for valid in ("valid", "superpoint_valid"):
                    store.write(group, valid, np.ones(points, bool))


def run(root: Path, world: str, name: str, steps: int, size: float) -> tuple[float, float]:
    """Train so many steps while up to `size` bytes are kept of what was read; returns the seconds of a step
    and the GiB at the peak."""
    recent = Recent(size)
    clouds = read_training_clouds(root / "scenes", root / "superpoints", recent)
    torch.manual_seed(0)
    network = MinkUNet("14A", 3, CHANNELS, "torch", width=0.25, precision="float32")
    text = np.random.default_rng(1).standard_normal((CLASSES, CHANNELS), np.float32)
    text /= np.linalg.norm(text, axis=1, keepdims=True)
    context = Context(
        network,
        VOXEL[world],
        "geometry",
        root / "fusion",
        root / "memory",
        lambda: text,
        recent=recent,
    )
    objective = OBJECTIVES.get(name).load()(settings(name), context)
    recipe = Recipe(seed=0, steps=steps, batch=1, learning_rate=1e-4, final_learning_rate=1e-5, warmup=0)
    objective.begin(network, clouds, Processes(torch.device("cpu")))
    objective.begin = lambda *_: None  # it is not part of a step
    began = time.perf_counter()
    train(network, clouds, objective, recipe, label=f"{world}, {name}, {len(clouds)} scenes")
    return (time.perf_counter() - began) / steps, peak()


def settings(name: str) -> Any:
    """Those of params.yaml where it has an entry of that kind, with SAMPLED voxels a scene."""
    of_kind = {entry.kind: entry.objective for entry in parameters.load().training.values()}
    if name in of_kind:
        return replace(of_kind[name], points_per_scene=SAMPLED)
    return OBJECTIVES.get(name).settings(points_per_scene=SAMPLED)


def main(world: str, objective: str, scenes: int = 400) -> None:
    """Train on so many scenes, each visited once."""
    console = Console(highlight=False)
    size = parameters.load().runtime.memory_gib * GIB * KEPT
    with tempfile.TemporaryDirectory(dir=".") as folder:
        write(root := Path(folder), world, scenes)
        seconds, gib = alone(run, root, world, objective, scenes, size)
        console.print(f"{objective}, {scenes} scenes: {seconds:.2f} s a step, peak {gib:.2f} GiB")
        write(few := root / "few", world, DISTINCT)
        for what, kept in (("in memory", 1e12), ("as above", size)) * REPEATED:
            seconds, gib = alone(run, few, world, objective, STEPS, kept)
            console.print(
                f"{objective}, {DISTINCT} scenes {what}: {seconds:.2f} s a step, peak {gib:.2f} GiB"
            )


if __name__ == "__main__":
    typer.run(main)
