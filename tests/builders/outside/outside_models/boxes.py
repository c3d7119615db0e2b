"""A reader: every scene is a folder with points.npy, labels.npy, view.png and view.json.

points.npy   f4[N, 6]: x, y, z in the unit of dataset.boxes, z up; red, green, blue
labels.npy   i2[N]: rows of the label set
view.png     one image; view.json: {"intrinsics": 3x3, "pose": 4x4, camera to world}
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image

from anyscene.datasets import Entry, Truth, raw_files
from anyscene.errors import ConfigError, DataError
from anyscene.project.digests import Digests
from anyscene.scene import Camera, Frame, Scene

LABELS = "labels.npy"


@dataclass(frozen=True)
class Settings:
    """The section dataset.boxes."""

    unit: float  # metres

    def __post_init__(self) -> None:
        if not self.unit > 0:
            raise ConfigError(f"dataset.boxes.unit: must be more than 0, not {self.unit}")


class BoxesEntry(Entry):
    settings: ClassVar[type] = Settings

    def open(self, section, scenes, memory):
        return Boxes(Path(section.root), section.name, section.settings(self.name).unit, memory)


@dataclass(frozen=True)
class Boxes:
    root: Path
    name: str
    unit: float
    memory: Path | None = None

    def splits(self):
        found = sorted(file.parent.name for file in self.root.glob("*/points.npy"))
        if not found:
            raise DataError(f"{self.root}: no scenes; each is a folder with points.npy")
        return {scene: "val" for scene in found}

    def keys(self):
        return self._keys(lambda file: file.name != LABELS, [self.name, self.unit])

    def truth_keys(self):
        annotated = [scene for scene in self.splits() if (self.root / scene / LABELS).is_file()]
        found = self._keys(lambda file: file.name == LABELS, [])
        return {scene: found[scene] for scene in annotated}

    def _keys(self, wanted, extra):
        with Digests(self.memory) as digest:
            return {
                scene: raw_files.key(self.root, scene, digest, wanted, [*extra, scene])
                for scene in self.splits()
            }

    def read(self, scene):
        folder = raw_files.scene_folder(self.root, scene)
        points = np.load(folder / "points.npy")
        view = json.loads((folder / "view.json").read_text())
        width, height = raw_files.image_size(folder / "view.png")
        camera = Camera(np.array(view["intrinsics"]), np.array(view["pose"]), width, height)
        return Scene(
            id=scene,
            xyz=(points[:, :3] * self.unit).astype(np.float32),
            rgb=points[:, 3:].astype(np.uint8),
            normal=np.tile(np.array([0, -1, 0], np.float32), (len(points), 1)),
            face=np.zeros((0, 3), np.int32),
            frames=(Frame("view", folder / "view.png", None, 1000.0, camera),),
            split=self.splits()[scene],
            dataset=self.name,
        )

    def read_truth(self, scene):
        file = raw_files.scene_folder(self.root, scene) / LABELS
        label = np.load(file)
        return Truth(label, np.full(len(label), -1, np.int32), file)

    def read_frame_truth(self, scene, frame):
        return None


def write_scene(folder: Path, seed: int) -> None:
    """A wall two metres ahead of the camera, dark on the left, and its view."""
    folder.mkdir(parents=True)
    x, z = np.meshgrid(np.linspace(-80, 80, 17), np.linspace(-60, 60, 13))  # centimetres
    rgb = np.where(x.ravel()[:, None] < 0, 20, 230) + np.random.default_rng(seed).integers(0, 9, (x.size, 3))
    points = np.column_stack([x.ravel(), np.full(x.size, 200.0), z.ravel(), rgb])
    np.save(folder / "points.npy", points.astype(np.float32))
    np.save(folder / LABELS, (x.ravel() >= 0).astype(np.int16))
    image = np.full((24, 32, 3), 20, np.uint8)
    image[:, 16:] = 230
    Image.fromarray(image).save(folder / "view.png")
    pose = [[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]]  # level, looks along +y
    intrinsics = [[30, 0, 15.5], [0, 30, 11.5], [0, 0, 1]]
    (folder / "view.json").write_text(json.dumps({"intrinsics": intrinsics, "pose": pose}))


ENTRY = BoxesEntry("boxes")
