"""Posed RGB-D scans in plain files: the form of the embedded demo and of a user's own capture.

    ROOT/splits/train.txt, val.txt       scene ids, one a line; without the folder every scene is in "val"
    ROOT/SCENE/color/FRAME.png|jpg       frames; any size
    ROOT/SCENE/depth/FRAME.png           optional; uint16, value / depth_scale = metres, 0 = no reading
    ROOT/SCENE/pose/FRAME.txt            4x4 camera-to-world, OpenCV axes, metres, z up
    ROOT/SCENE/intrinsics.txt            3x3 or 4x4 of the colour image, or one intrinsics/FRAME.txt per frame
    ROOT/SCENE/capture.json              optional: {"depth_scale": 1000, "depth_size": [width, height]}
    ROOT/SCENE/mesh.ply                  vertices with red, green, blue, and faces; without it the points come
                                         from the depth maps
    ROOT/SCENE/truth/                    optional: vertex_label.npy, vertex_instance.npy and annotated frames

Depth is registered to colour (the same field of view) and of its size unless depth_size says otherwise.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.datasets import cloud, ply
from pipeline.datasets.digests import Digests
from pipeline.errors import DataError
from pipeline.scene import Camera, Frame, Scene

IMAGES = (".png", ".jpg", ".jpeg")
CAPTURE = {"depth_scale": 1000.0, "depth_size": None}
TRUTH = "truth"


@dataclass(frozen=True)
class Truth:
    """Annotation of a scene's vertices: rows of the label set and instance ids, -1 = none."""

    label: np.ndarray  # i2[N]
    instance: np.ndarray  # i4[N]


@dataclass(frozen=True)
class Rgbd:
    """The data set in `root`, every `stride`-th frame; `voxel` (metres) is that of clouds made from depth;
    what files were hashed to is remembered in the folder `memory`, if any."""

    root: Path
    name: str
    stride: int = 1
    voxel: float = 0.02
    memory: Path | None = None

    def splits(self) -> dict[str, str]:
        """ "train" or "val" of every scene, sorted by id. Raises DataError where there are no scenes."""
        if not self.root.is_dir():
            raise DataError(f"{self.root}: no such folder; dataset.root must hold the scans")
        folder = self.root / "splits"
        if folder.is_dir():
            found = {split: _lines(folder / f"{split}.txt") for split in ("train", "val")}
            if both := sorted(set(found["train"]) & set(found["val"])):
                raise DataError(f"{folder}: scene {both[0]} is in train.txt and in val.txt; keep it in one")
            splits = {scene: split for split, scenes in found.items() for scene in scenes}
        else:
            splits = {path.name: "val" for path in self.root.iterdir() if _is_folder(path / "color")}
        if not splits:
            raise DataError(f"{self.root}: no scenes; each is a folder with color/, pose/ and intrinsics.txt")
        return dict(sorted(splits.items()))

    def keys(self) -> dict[str, str | DataError]:
        """Hash of every scene's split and files but the annotation; an error where they cannot be read."""
        with Digests(self.memory) as digest:
            return {
                scene: self._key(scene, digest, lambda file: file.parts[0] != TRUTH, [split, self.name])
                for scene, split in self.splits().items()
            }

    def truth_keys(self) -> dict[str, str | DataError]:
        """Hash of the annotation of every scene that has one."""
        with Digests(self.memory) as digest:
            return {
                scene: self._key(scene, digest, lambda file: file.parts[0] == TRUTH and len(file.parts) == 2)
                for scene in self.splits()
                if _is_folder(self.root / scene / TRUTH)
            }

    def read(self, scene: str) -> Scene:
        """The whole scene but the pixels. Raises DataError naming the file and what to do."""
        folder = self._folder(scene)
        frames = self._frames(folder)
        mesh = folder / "mesh.ply"
        if mesh.is_file():
            xyz, rgb, normal, face = ply.read_mesh(mesh)
        elif all(frame.depth for frame in frames):
            xyz, rgb, normal = cloud.from_frames(frames, self.voxel)
            face = np.zeros((0, 3), np.int32)
        else:
            raise DataError(
                f"{mesh}: missing, and there are no depth maps to take the points from; add either"
            )
        return Scene(scene, xyz, rgb, normal, face, frames, self.splits().get(scene, "val"), self.name)

    def read_truth(self, scene: str) -> Truth:
        """The annotation of the vertices. Raises DataError naming the file and what to do."""
        folder = self._folder(scene) / TRUTH
        label = _array(folder / "vertex_label.npy").astype(np.int16)
        path = folder / "vertex_instance.npy"
        instance = _array(path).astype(np.int32) if path.is_file() else np.full(len(label), -1, np.int32)
        if instance.shape != label.shape:
            raise DataError(
                f"{path}: {len(instance)} instances for {len(label)} labels; export both from one mesh"
            )
        return Truth(label, instance)

    def read_frame_truth(self, scene: str, frame: str) -> np.ndarray | None:
        """u1[H,W], rows of the label set and 255 = none, of one frame, or None where it is not annotated.
        Raises DataError naming the file."""
        path = self._folder(scene) / TRUTH / "frame" / f"{frame}.png"
        if not path.is_file():
            return None
        try:
            with Image.open(path) as image:
                truth = np.asarray(image)
        except (OSError, SyntaxError, ValueError) as error:
            raise DataError(f"{path}: not a readable image ({error}); write it again or delete it") from error
        if truth.ndim != 2 or truth.dtype != np.uint8:
            raise DataError(f"{path}: expected one byte per pixel, not {truth.dtype}{list(truth.shape)}")
        return truth

    def _folder(self, scene: str) -> Path:
        if Path(scene).name != scene or scene in ("", ".", ".."):
            raise DataError(f"scene id {scene!r} cannot name a folder: no '/', no '..'")
        folder = self.root / scene
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder; take {scene} off the split or add its scan")
        return folder

    def _key(self, scene: str, digest: Digests, wanted: Callable, extra: Sequence = ()) -> str | DataError:
        try:
            content = digest(self._folder(scene), wanted)
        except OSError as error:
            return DataError(f"{error.filename}: cannot be read ({error.strerror}); check its permissions")
        except DataError as error:
            return error
        return hashlib.sha256(json.dumps([*extra, content]).encode()).hexdigest()

    def _frames(self, folder: Path) -> tuple[Frame, ...]:
        capture = _capture(folder / "capture.json")
        color = _by_id(folder / "color")
        if not color:
            raise DataError(
                f"{folder / 'color'}: no colour images; put the frames there as FRAME.jpg or FRAME.png"
            )
        depth = _by_id(folder / "depth") if (folder / "depth").is_dir() else None
        ids = sorted(color, key=_natural)[:: self.stride]
        return tuple(_frame(folder, id, color[id], depth, capture) for id in ids)


def _frame(folder: Path, id: str, color: Path, depth: dict[str, Path] | None, capture: dict) -> Frame:
    if depth is not None and id not in depth:
        raise DataError(
            f"{folder / 'depth' / id}.png: missing; add the depth of frame {id} or delete the frame"
        )
    size = _image_size(color)
    if depth is not None:
        found, expected = _image_size(depth[id]), tuple(capture["depth_size"] or size)
        if found != expected:
            raise DataError(
                f"{depth[id]}: depth is {found[0]}x{found[1]}, expected {expected[0]}x{expected[1]}; "
                'register it to the colour image; if it is smaller, write capture.json {"depth_size": [w, h]}'
            )
    pose = folder / "pose" / f"{id}.txt"
    shared, own = folder / "intrinsics.txt", folder / "intrinsics" / f"{id}.txt"
    intrinsics = own if own.is_file() else shared
    if not intrinsics.is_file():
        raise DataError(f"{shared}: missing; write the 3x3 intrinsics of the colour images (or {own})")
    matrix = _matrix(intrinsics, ((3, 3), (4, 4)))[:3, :3]
    try:
        camera = Camera(matrix, _matrix(pose, ((4, 4),)), *size)
    except DataError as error:
        raise DataError(f"{pose if 'pose' in str(error) else intrinsics}: {error}") from error
    return Frame(id, color, None if depth is None else depth[id], float(capture["depth_scale"]), camera)


def _by_id(folder: Path) -> dict[str, Path]:
    files: dict[str, Path] = {}
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; the scan's images belong there")
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in IMAGES:
            if path.stem in files:
                raise DataError(
                    f"{path}: frame id {path.stem} is also {files[path.stem].name}; delete one of them"
                )
            files[path.stem] = path
    return files


def _natural(id: str) -> tuple:
    return (0, int(id), id) if id.isdecimal() else (1, 0, id)


def _image_size(path: Path) -> tuple[int, int]:
    try:
        with Image.open(path) as image:
            return image.size
    except OSError as error:
        raise DataError(
            f"{path}: not a readable image ({error}); export it again or delete the frame"
        ) from error


def _matrix(path: Path, shapes: tuple[tuple[int, int], ...]) -> np.ndarray:
    try:
        matrix = np.array(
            [
                [float(v) for v in line.replace(",", " ").split()]
                for line in path.read_text().splitlines()
                if line.strip()
            ]
        )
    except FileNotFoundError as error:
        raise DataError(f"{path}: missing; add it or delete the frame") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a matrix of numbers ({error})") from error
    if matrix.shape not in shapes:
        raise DataError(
            f"{path}: expected {' or '.join(f'{r}x{c}' for r, c in shapes)} numbers, one row a line"
        )
    return matrix


def _capture(path: Path) -> dict:
    if not path.is_file():
        return dict(CAPTURE)
    try:
        given = json.loads(path.read_text())
        unknown = [key for key in given if key not in CAPTURE]
    except (ValueError, TypeError) as error:
        raise DataError(f"{path}: not a JSON object ({error})") from error
    if unknown:
        raise DataError(f"{path}: unknown key '{unknown[0]}'; known: {', '.join(CAPTURE)}")
    capture = CAPTURE | given
    size = capture["depth_size"]
    if not isinstance(capture["depth_scale"], (int, float)) or not capture["depth_scale"] > 0:
        raise DataError(f"{path}: depth_scale must be a positive number (depth value of one metre)")
    if size is not None and not (
        isinstance(size, list) and len(size) == 2 and all(type(v) is int for v in size)
    ):
        raise DataError(f"{path}: depth_size must be [width, height]")
    return capture


def _array(path: Path) -> np.ndarray:
    try:
        array = np.load(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a readable array ({error}); save it with numpy.save") from error
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise DataError(f"{path}: expected one integer per vertex, not {array.dtype}{list(array.shape)}")
    return array


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except PermissionError:
        return True  # reading what is in it will say so


def _lines(path: Path) -> list[str]:
    return [line.strip() for line in path.read_text().splitlines() if line.strip()] if path.is_file() else []
