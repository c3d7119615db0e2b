"""What a whole run takes on disk, foretold from the scenes that a project has computed so far.

A stage that was stopped keeps the scenes that it has finished. So a few of them tell what all will take, by
the models, the compression and the scans that are really used.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from anyscene import datasets
from anyscene.project import layout, store
from anyscene.project.parameters import OBJECTIVES, Params
from anyscene.project.stages import Stage
from anyscene.text import width_of

SUPPOSED = 150_000  # points of a scene where none is there to count them: what throughput trains on
SAMPLED = 200  # artefacts of a folder that are measured, so that looking takes no longer for more scenes
UNIT = 512  # bytes, in which a file system says what a file takes
# bytes of a point before compression
CLOUD = 4 * 3 + 3 + 4 * 3 + 2 * 4 * 3  # xyz, colour, normal; a mesh has twice as many faces as points
ANNOTATION = 2 + 4  # label, instance
SUPERPOINT = 4


@dataclass(frozen=True)
class Share:
    """What one folder takes."""

    folder: Path
    bytes: int  # when it holds all that it will
    there: int  # how many of these are there now
    measured: int  # artefacts whose bytes were counted; 0: reckoned from the arrays before compression
    of: int  # artefacts that it will hold

    @property
    def known(self) -> str:
        """How its size is known, for people."""
        if not self.measured:
            return f"at most, for {self.of:,}"
        return f"by {self.measured:,} of {self.of:,}"


def bytes_of_point(params: Params) -> dict[Path, int]:
    """The bytes that the artefacts of each folder take for a point before compression, which is an upper
    bound. Features of superpoints do not count, because a superpoint has some dozens of points."""
    models, feature = params.segmenters.names, 2 * width_of(params.text.encoder)
    of_points = params.fusion.point_features or params.superpoints.method == "identity"
    return {
        layout.SCENES: CLOUD,
        layout.LABELS: ANNOTATION,
        layout.SUPERPOINTS: SUPERPOINT,
        **{layout.PROJECTION / model: feature + 2 for model in models},
        layout.FUSION: 1 + 3 * len(models) + (feature if of_points else 0),
    }


def memories(params: Params) -> dict[str, int]:
    """The bytes that a training keeps for each point of its scenes until it ends, by its name; those alone
    that keep any."""
    classes = len(datasets.label_set(params.dataset.label_set))
    kept = {}
    for name, section in params.training.items():
        entry: Any = OBJECTIVES.get(section.kind)
        kept[name] = entry.memory(classes)
    return {name: size for name, size in kept.items() if size}


def foretold(params: Params, stages: Mapping[str, Stage], scenes: int, training: int) -> list[Share]:
    """What every folder of artefacts will take, in the order of the `stages`, then what every training keeps
    until it ends.

    scenes: how many the data set has; training: how many of them are trained on. The artefacts that are there
    stand for the others: those of data/scenes for the points of a scene, and those of each folder for its
    bytes. So scenes that are larger than most mislead it as long as few are imported. Raises StoreError where
    an artefact cannot be read.
    """
    found, most = [], bytes_of_point(params)
    points = _points(_sample(layout.SCENES)) or SUPPOSED
    for stage in stages.values():
        for folder in (one for item in stage.items(params) for one in stage.artefacts(item)):
            if folder in most:
                found.append(_share(folder, scenes, points, most[folder]))
            else:  # images of classes
                found.append(_share(folder, len(params.vocabulary)))
    for name, each in memories(params).items():
        folder = layout.CHECKPOINTS / name
        found.append(Share(folder, round(each * points * training), taken(folder), 0, training))
    return found


def _share(folder: Path, of: int, points: float | None = None, most: int = 0) -> Share:
    """points: of a scene, on average over all, where the folder holds `most` bytes for each."""
    sample = _sample(folder)
    if not sample:
        return Share(folder, round(most * (points or 0) * of), 0, 0, of)
    each = float(np.mean([taken(path) for path in sample]))
    there = len(store.scene_ids(folder))
    measured = _points([layout.SCENES / path.name for path in sample]) if points else None
    size = points / measured if points and measured and there < of else 1.0
    return Share(folder, round(each * size * max(of, there)), round(each * there), len(sample), of)


def _sample(folder: Path) -> list[Path]:
    """Artefacts of a folder, evenly spread over their names."""
    names = store.scene_ids(folder) if folder.is_dir() else []
    places = np.linspace(0, len(names) - 1, min(SAMPLED, len(names))).round().astype(int)
    return [store.scene_path(folder, names[place]) for place in places]


def _points(scenes: Sequence[Path]) -> float | None:
    """The points of an imported scene, on average; None where none of them is there."""
    counts = [store.open_scene(path)["xyz"].shape[0] for path in scenes if path.is_dir()]
    return float(np.mean(counts)) if counts else None


def taken(folder: Path) -> int:
    """The bytes that a folder with all that it holds takes on disk, as `du` counts them; a file with several
    names there counts once."""
    blocks = {}
    for parent, _, names in os.walk(folder.resolve()):
        for path in (parent, *(os.path.join(parent, name) for name in names)):
            state = os.lstat(path)
            blocks[state.st_dev, state.st_ino] = state.st_blocks * UNIT
    return sum(blocks.values())
