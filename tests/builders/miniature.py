"""A finished project in a folder: two small rooms of boxes with every artefact, for evaluation and report."""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import yaml
from PIL import Image

from anyscene.datasets import label_set
from anyscene.datasets.label_sets import FOLDER
from anyscene.fusion import fuse, superpoint_means
from anyscene.learning.engine.curve import Curve
from anyscene.networks import MinkUNet, save
from anyscene.project import parameters, store
from anyscene.scene import Camera, Frame, Scene
from anyscene.text import TextEncoder, embeddings
from tests.builders import REPOSITORY

WIDTH = 16  # of the text space
VOCABULARY = ("wall", "floor", "bed", "chair", "table", "door")
BOXES = {  # label -> corner and size in metres, colour
    "bed": ((0.3, 0.3, 0), (1.5, 2.0, 0.5), (170, 60, 60)),
    "table": ((2.4, 0.4, 0), (1.2, 0.8, 0.7), (130, 90, 50)),
    "chair": ((2.7, 1.6, 0), (0.5, 0.5, 0.9), (60, 80, 150)),
    "door": ((3.94, 2.0, 0), (0.06, 0.8, 2.0), (220, 210, 190)),
}
CONFUSED = {"dense": {"chair": "table", "door": "wall"}, "mask": {"bed": "wall", "table": "chair"}}
NETWORKS = {  # name -> kind of its objective, the network that it began from, in the order of the table
    "pixelwise": ("pixel", None),
    "distilled": ("superpoint", "demo/student"),
    "ensembled": ("ensembling", "distilled"),
}
TITLES = {
    "pixelwise": "pixel distillation",
    "distilled": "superpoint distillation",
    "ensembled": "+ temporal ensembling",
}
SIZE = (32, 24)


class Spelling:
    """A text encoder without weights, whose unit vectors depend only on the letters."""

    name, width = "spelling", WIDTH

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        vectors = [np.random.default_rng(zlib.crc32(text.encode())).normal(size=WIDTH) for text in texts]
        return np.array([v / np.linalg.norm(v) for v in vectors], np.float32)


class Painter:
    """A 2D model that says of each image what its first pixel's red value tells it to."""

    def __init__(self, name: str):
        self.name = name

    def label(self, images: np.ndarray, vocabulary: Sequence[str]) -> np.ndarray:
        said = images[..., 0].astype(np.int16)
        for true, confused in CONFUSED[self.name].items():
            said[said == vocabulary.index(true)] = vocabulary.index(confused)
        return said


def write(
    folder: Path,
    *,
    scenes: int = 2,
    spacing: float = 0.15,
    frames: bool = True,
    encoder: TextEncoder | None = None,
    named: str = "room{}",
) -> parameters.Params:
    """Fill `folder` and return its parameters; some annotated frames only with `frames`. encoder: of the text
    space, in place of Spelling; named: scenes, with {} for their number."""
    values = parameters.read(REPOSITORY / "params.yaml")
    values["vocabulary"] = list(VOCABULARY)
    values["dataset"]["root"] = str(folder / "data/world")
    values["segmenters"] |= {"names": ["dense", "mask"], "weights": str(folder / "models/demo")}
    values["projection"] |= {"width": SIZE[0], "height": SIZE[1]}
    values["evaluation"] |= {"bootstrap": 30, "shuffles": 2}
    values["runtime"] |= {"workers": 1}  # what tests put in place of models is in no other process
    distilled = values["training"]["distilled"]
    pixelwise = distilled | {"kind": "pixel", "title": "pixel distillation"}
    values["training"] = {"pixelwise": pixelwise, **values["training"]}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    for index in range(scenes):
        rng = np.random.default_rng(index)
        _write_scene(folder, named.format(index), rng, spacing, frames, encoder or Spelling())
    rng = np.random.default_rng(9)
    for model, confused in CONFUSED.items():
        capability = [0.1 if name in confused else 0.6 + 0.1 * rng.random() for name in VOCABULARY]
        path = folder / f"data/capability/{model}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"model": model, "vocabulary": VOCABULARY, "capability": capability}))
        names = [name for name in VOCABULARY if name not in confused]
        path = folder / f"models/demo/{model}/model.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"names": names}))
    for index, name in enumerate(NETWORKS):
        write_network(folder, name, TITLES[name], index, width=WIDTH if encoder is None else encoder.width)
    _write_synthesis(folder, rng)
    return parameters.load(folder / "params.yaml")


def copy(folder: Path, target: Path) -> parameters.Params:
    """Copy what `write` filled `folder` with, and return the parameters of the copy."""
    shutil.copytree(folder, target, dirs_exist_ok=True)
    file = target / "params.yaml"
    file.write_text(file.read_text().replace(str(folder), str(target)))
    return parameters.load(file)


def write_network(
    folder: Path, name: str, title: str, place: int, supervised: bool = False, width: int = WIDTH
) -> None:
    """Write models/NAME: small, with random weights drawn by its place, and a loss of fifty steps."""
    kind, start = NETWORKS.get(name, (name, None))
    torch.manual_seed(place)
    network = MinkUNet("14A", 3, width, "torch", width=0.25)
    meta = {"name": name, "title": title, "kind": kind, "start": start, "place": place}
    meta |= {"supervised": supervised, "voxel": 0.2, "input": "geometry"}
    save(network, folder / f"models/{name}", meta)
    Curve(folder / f"models/{name}").replay({"step": step, "loss": 1 / (step + 1)} for step in range(50))


def doubled(path: Path) -> Path:
    """Write scannet20 with the wall's prompt twice: other indices of the prompts after it, same answers."""
    rows = (FOLDER / "scannet20.csv").read_text()
    path.write_text(rows.replace("0,wall,1,wall,", "0,wall,1,wall|wall,"))
    assert len(label_set(path).prompts) == 21
    return path


def _write_scene(
    folder: Path,
    name: str,
    rng: np.random.Generator,
    spacing: float,
    frames: bool,
    encoder: TextEncoder | Spelling,
) -> None:
    xyz, normal, rgb, label, superpoint = _room(spacing, rng)
    group = _group(folder, "scenes", name)
    seen = tuple(_frame(folder, name, index, rng) for index in range(2)) if frames else ()
    scene = Scene(name, xyz, rgb, normal, np.zeros((0, 3), np.int32), seen, "val", "demo")
    store.write_scene(group, scene, folder / "data/world")
    group = _group(folder, "labels", name)
    store.write(group, "label", label)
    store.write(group, "instance", label.astype(np.int32))
    group = _group(folder, "superpoints", name)
    store.write(group, "superpoint", superpoint)
    store.write(group, "size", np.bincount(superpoint).astype(np.int32))

    text = embeddings(encoder, VOCABULARY)
    names = label_set("scannet20").names
    features, valid = [], []
    for model, confused in CONFUSED.items():
        said = [confused.get(names[k], names[k]) for k in label]
        feature = text[[VOCABULARY.index(word) for word in said]] + rng.normal(
            0, 1 / encoder.width**0.5, (len(xyz), encoder.width)
        )
        count = rng.integers(0, 12, len(xyz)).astype(np.uint16)
        group = _group(folder, f"projection/{model}", name)
        store.write(group, "feature", feature.astype(np.float16))
        store.write(group, "count", count)
        features.append(feature.astype(np.float32))
        valid.append(count > 0)
    fused = fuse(features, valid, np.full((2, len(text)), 0.5, np.float32), text)
    mean, has_mean = superpoint_means(fused.feature, fused.valid, superpoint)
    group = _group(folder, "fusion", name)
    for array, value in (
        ("feature", fused.feature.astype(np.float16)),
        ("valid", fused.valid),
        ("weight", fused.weight.astype(np.float16)),
        ("prediction", fused.prediction),
        ("superpoint_feature", mean.astype(np.float16)),
        ("superpoint_valid", has_mean),
    ):
        store.write(group, array, value)


def _room(spacing: float, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """xyz f4[N,3], normal f4[N,3] into the room or out of furniture, rgb, label i2[N], superpoint i4[N]."""
    names = label_set("scannet20").names
    parts = []
    for side in _sides((0, 0, 0), (4, 3, 2.4), spacing):
        xyz, normal = side
        wall = normal[0, 2] == 0
        if normal[0, 2] < 1:  # no ceiling
            parts.append(
                (xyz, -normal, (200, 195, 180) if wall else (150, 120, 90), "wall" if wall else "floor")
            )
    for name, (corner, size, colour) in BOXES.items():
        parts += [(xyz, normal, colour, name) for xyz, normal in _sides(corner, size, spacing)]
    xyz = np.concatenate([part[0] for part in parts]).astype(np.float32)
    normal = np.concatenate([part[1] for part in parts]).astype(np.float32)
    rgb = np.concatenate([np.tile(np.array(part[2]), (len(part[0]), 1)) for part in parts])
    rgb = np.clip(rgb + rng.normal(0, 8, rgb.shape), 0, 255).astype(np.uint8)
    label = np.concatenate([np.full(len(part[0]), names.index(part[3]), np.int16) for part in parts])
    superpoint = np.repeat(np.arange(len(parts)), [len(part[0]) for part in parts]).astype(np.int32)
    return xyz, normal, rgb, label, superpoint


def _sides(corner, size, spacing):
    """Points and outward normals of the six sides of a box."""
    corner, size = np.array(corner, float), np.array(size, float)
    for axis in range(3):
        across = [a for a in range(3) if a != axis]
        steps = [np.linspace(0, size[a], max(2, int(size[a] / spacing) + 1)) for a in across]
        grid = np.stack(np.meshgrid(*steps, indexing="ij"), -1).reshape(-1, 2)
        for end in (0, 1):
            xyz, normal = np.zeros((len(grid), 3)), np.zeros((len(grid), 3))
            xyz[:, across], xyz[:, axis] = grid, end * size[axis]
            normal[:, axis] = 2 * end - 1
            yield xyz + corner, normal


def _frame(folder: Path, scene: str, index: int, rng: np.random.Generator) -> Frame:
    """A picture of stripes whose red value is the class in the vocabulary, with its annotation."""
    root = folder / "data/world" / scene
    stripe = np.arange(SIZE[0]) * len(VOCABULARY) // SIZE[0]
    image = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    image[..., 0] = stripe
    names = label_set("scannet20").names
    truth = np.array([names.index(name) for name in VOCABULARY], np.uint8)[image[..., 0]]
    truth[rng.random(truth.shape) < 0.1] = 255
    for kind, picture in (("color", image), ("truth/frame", truth)):
        (root / kind).mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(root / kind / f"{index}.png")
    camera = Camera(np.array([[30.0, 0, 15.5], [0, 30, 11.5], [0, 0, 1]]), np.eye(4), *SIZE)
    return Frame(str(index), root / "color" / f"{index}.png", None, 1000.0, camera)


def _write_synthesis(folder: Path, rng: np.random.Generator) -> None:
    side = 24
    row, column = np.mgrid[:side, :side]
    for name in VOCABULARY:
        centre = rng.uniform(8, 16, (3, 2))
        distance = np.hypot(row - centre[:, :1, None], column - centre[:, 1:, None])  # [m, H, W]
        attention = np.exp(-((distance / 6) ** 2)).astype(np.float16)
        image = np.where(distance[..., None] < 6, rng.integers(0, 256, 3), 220).astype(np.uint8)
        group = _group(folder, "synthesis", name)
        for array, value in (
            ("image", image),
            ("attention", attention),
            ("coarse", attention > 0.3),
            ("mask", distance < 6),
        ):
            store.write(group, array, value)


def _group(folder: Path, stage: str, name: str):
    path = store.scene_path(folder / "data" / stage, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    return store.create(path, "test")
