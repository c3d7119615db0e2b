"""The network from which the demo's 3D networks begin. The pipeline itself trains it on other rooms, and for
longer than a demo may take. No annotation is read; the rooms hold zoo furniture and come from another
seed."""

from __future__ import annotations

import copy
import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import safetensors.torch
import yaml

from anyscene.errors import PipelineError
from anyscene.learning.engine import curve
from anyscene.networks.checkpoint import WEIGHTS, description, write_description
from anyscene.project import layout

ROOMS, WORLD_SEED = 240, 1000
STEPS = 18_000
STAGES = (
    ("world",),
    ("scenes",),
    ("superpoints",),
    ("projection", "dense"),
    ("projection", "mask"),
    ("synthesis",),
    ("capability", "dense"),
    ("capability", "mask"),
    ("fusion",),
    ("training", "student"),
)
TRAINED = layout.NETWORKS / "student"
PUBLISHED = "demo/student"  # under models/, where the demo's networks begin


def recipe(params: dict[str, Any]) -> dict[str, Any]:
    """The demo's parameters (params.yaml as a mapping) with more rooms. In place of its networks there is
    only the one that begins from the student; here it begins from random weights and trains longer."""
    changed = copy.deepcopy(params)
    changed["world"] |= {"seed": WORLD_SEED, "train_rooms": ROOMS, "val_rooms": 0}
    (entry,) = (entry for entry in changed["training"].values() if entry["from"] == PUBLISHED)
    changed["training"] = {
        "student": entry
        | {
            "title": f"{entry['title']} on other rooms",
            "from": "random",
            "seed": 0,
            "steps": STEPS,
            "batch": 2,
            "learning_rate": 6e-3,
            "final_learning_rate": 1e-5,
            "schedule": "linear",
            "warmup": 100,
            "points_per_scene": 10_000,
            "accumulate": 1,
            "batch_norm": "own",
        }
    }
    return changed


def train(params: dict[str, Any], root: Path, cache: Path) -> list[float]:
    """Run the stages in `cache` with the data and models of the repository `root`, and return the loss of
    every step.

    The network then lies in cache / TRAINED. Raises PipelineError naming the stage that failed."""
    cache.mkdir(parents=True, exist_ok=True)
    (cache / layout.PARAMETERS).write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    for folder in (layout.DEMO, layout.DEMO_MODELS):
        link = cache / folder
        link.parent.mkdir(exist_ok=True)
        if not link.exists():
            link.symlink_to((root / folder).resolve(), target_is_directory=True)
    environment = os.environ | {"PYTHONPATH": str(root.resolve())}
    for stage in STAGES:
        command = [sys.executable, "-m", f"stages.{stage[0]}", *stage[1:]]
        if subprocess.run(command, cwd=cache, env=environment, check=False).returncode:
            raise PipelineError(f"student: {' '.join(stage)} failed in {cache}; its message is above")
    _, losses = curve.read(cache / TRAINED)
    return [float(loss) for loss in losses]


def publish(trained: Path, folder: Path) -> None:
    """Copy the network in `trained` to `folder`, with its floating-point weights in half precision."""
    folder.mkdir(parents=True, exist_ok=True)
    halve(trained / WEIGHTS, folder / WEIGHTS)
    digest = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    meta = description(trained) | {"name": PUBLISHED, "sha256": digest}
    write_description(folder, meta)


def halve(source: Path, target: Path) -> None:
    """Copy safetensors weights, with floating-point ones in half precision."""
    state = safetensors.torch.load_file(source)
    halved = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    safetensors.torch.save_file(halved, target)
