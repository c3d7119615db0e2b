"""Posed RGB-D scans in plain files: the form of the embedded demo and of a user's own capture.

    ROOT/splits/train.txt, val.txt       scene ids, one a line; without the folder every scene is in "val"
    ROOT/SCENE/color/FRAME.png|jpg       frames; any size
    ROOT/SCENE/depth/FRAME.png           optional; uint16, value / depth_scale = metres, 0 = no reading
    ROOT/SCENE/pose/FRAME.txt            4x4 camera-to-world, OpenCV axes
    ROOT/SCENE/intrinsics.txt            3x3 or 4x4 of the colour image, or one intrinsics/FRAME.txt per frame
    ROOT/SCENE/capture.json              optional: {"depth_scale": 1000, "depth_size": [width, height]}, by
                                         default millimetres, and the size of colour; "scale", "up" and
                                         "world" of poses and mesh, as in `placement.Said`
    ROOT/SCENE/mesh.ply                  vertices, and faces where there are any; without colours these come
                                         from the frames, and without the file the points from the depth maps
    ROOT/SCENE/truth/                    optional: vertex_label.npy, vertex_instance.npy and annotated frames

Depth is registered to colour (the same field of view) and of its size unless depth_size says otherwise.
Poses and mesh are in one world, in metres, z up; `placement` moves the scene there from coordinates of a map,
another unit that is said, and another up.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from anyscene.arrays import F8, U1, Array, Integers
from anyscene.datasets import cloud_from_depth, placement, ply, raw_files, seen_by_frames
from anyscene.datasets.entry import Entry
from anyscene.datasets.truth import Truth
from anyscene.errors import DataError
from anyscene.project import parameters
from anyscene.project.digests import Digests
from anyscene.scene import Camera, Frame, Scene, inverse

CAPTURE = {
    "depth_scale": 1000.0,
    "depth_size": None,
    "scale": None,
    "up": None,
    "world": None,
    "remarks": (),  # what whoever reads the scan should know, said each time
}
TRUTH = "truth"
# A share of half an image: more than the centre of any lens is off, less than that of a 4:3 image on its
# side.
CENTRE = 0.25
PLAUSIBLE = (0.05, 100.0)  # metres; a generous range for the median depth of a frame


@dataclass(frozen=True)
class Rgbd:
    """The scans in `root`."""

    root: Path
    name: str  # of the data set
    stride: int = 1  # every n-th frame of a scan
    voxel: float = 0.02  # metres, of clouds that are made from depth
    memory: Path | None = None  # folder in which the hashes of files are remembered
    # of the world of all scans; where it does not say a scale or what is up, their capture.json may
    said: placement.Said = field(default_factory=placement.Said)

    def splits(self) -> dict[str, str]:
        """The split of every scene, "train" or "val", sorted by id. Raises DataError where there are no
        scenes."""
        if not self.root.is_dir():
            raise DataError(f"{self.root}: no such folder; dataset.root must hold the scans")
        splits = raw_files.listed_splits(self.root)
        if splits is None:
            splits = {path.name: "val" for path in self.root.iterdir() if raw_files.is_folder(path / "color")}
        if not splits:
            raise DataError(f"{self.root}: no scenes; each is a folder with color/, pose/ and intrinsics.txt")
        return dict(sorted(splits.items()))

    def keys(self) -> dict[str, str | DataError]:
        """A hash of the split and the files of every scene, without the annotation; the error where they
        cannot be read."""
        with Digests(self.memory) as digest:
            return {
                scene: raw_files.key(self.root, scene, digest, _is_input, [split, self.name])
                for scene, split in self.splits().items()
            }

    def truth_keys(self) -> dict[str, str | DataError]:
        """A hash of the annotation of every scene that has one."""
        with Digests(self.memory) as digest:
            return {
                scene: raw_files.key(self.root, scene, digest, _is_vertex_truth)
                for scene in self.splits()
                if raw_files.is_folder(self.root / scene / TRUTH)
            }

    def read(self, scene: str) -> Scene:
        """The scene; the pixels of its frames are read later. Raises DataError naming the file and what to
        do."""
        folder = raw_files.scene_folder(self.root, scene)
        frames, mesh = self._frames(folder), folder / "mesh.ply"
        said = _said(folder / "capture.json", self.said)
        with_depth = all(frame.depth for frame in frames)
        if mesh.is_file():
            found = ply.read(mesh)
            step = placement.near(mesh, found.xyz, said, sized=not with_depth)
            frames = tuple(frame.moved(step) for frame in frames)
            xyz, rgb, normal, face = seen_by_frames.completed(found.moved(step), frames, mesh)
        elif with_depth:
            centres = np.array([frame.camera.pose[:3, 3] for frame in frames])
            step = placement.near(folder / "pose", centres, said, sized=False)
            frames = tuple(frame.moved(step) for frame in frames)
            xyz, rgb, normal = cloud_from_depth.from_frames(frames, self.voxel)
            face = np.zeros((0, 3), np.int32)
        else:
            raise DataError(
                f"{mesh}: missing, and there are no depth maps to take the points from; add either"
            )
        world, split = said.world @ inverse(step), self.splits().get(scene, "val")
        remarks = tuple(_capture(folder / "capture.json")["remarks"])
        read = Scene(scene, xyz, rgb, normal, face, frames, split, self.name, (), world, remarks)
        return placement.upright(folder, read, said)

    def read_truth(self, scene: str) -> Truth:
        """The annotation of the vertices. Raises DataError naming the file and what to do."""
        folder = raw_files.scene_folder(self.root, scene) / TRUTH
        file = folder / "vertex_label.npy"
        label = _array(file).astype(np.int16)
        path = folder / "vertex_instance.npy"
        instance = _array(path).astype(np.int32) if path.is_file() else np.full(len(label), -1, np.int32)
        if instance.shape != label.shape:
            raise DataError(
                f"{path}: {len(instance)} instances for {len(label)} labels; export both from one mesh"
            )
        return Truth(label, instance, file)

    def read_frame_truth(self, scene: str, frame: str) -> U1 | None:
        """u1[H,W]: the annotation of one frame, rows of the label set, 255 = none; None where it is not
        annotated. Raises DataError naming the file."""
        path = raw_files.scene_folder(self.root, scene) / TRUTH / "frame" / f"{frame}.png"
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

    def _frames(self, folder: Path) -> tuple[Frame, ...]:
        capture = _capture(folder / "capture.json")
        color = raw_files.images_by_id(folder / "color")
        if not color:
            raise DataError(
                f"{folder / 'color'}: no colour images; put the frames there as FRAME.jpg or FRAME.png"
            )
        depth = raw_files.images_by_id(folder / "depth") if (folder / "depth").is_dir() else None
        ids = sorted(color, key=raw_files.natural)[:: self.stride]
        frames = tuple(_frame(folder, id, color[id], depth, capture) for id in ids)
        if depth is not None:
            _check_scale(frames, folder / "capture.json")
        return frames


def _is_input(file: Path) -> bool:
    return file.parts[0] != TRUTH


def _is_vertex_truth(file: Path) -> bool:
    return file.parts[0] == TRUTH and len(file.parts) == 2


def _frame(
    folder: Path, id: str, color: Path, depth: dict[str, Path] | None, capture: dict[str, Any]
) -> Frame:
    if depth is not None and id not in depth:
        raise DataError(
            f"{folder / 'depth' / id}.png: missing; add the depth of frame {id} or delete the frame"
        )
    size = raw_files.image_size(color)
    if depth is not None:
        found, expected = raw_files.depth_size(depth[id]), tuple(capture["depth_size"] or size)
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
    matrix = raw_files.matrix(intrinsics, ((3, 3), (4, 4)))[:3, :3]
    if np.isfinite(matrix).all() and matrix[0, 0] > 0:  # otherwise Camera raises the error
        raw_files.centred(matrix, size, intrinsics, f"colour images such as {color.name}", CENTRE)
    try:
        camera = Camera(matrix, raw_files.matrix(pose, ((4, 4),)), *size)
    except DataError as error:
        raise DataError(f"{pose if 'pose' in str(error) else intrinsics}: {error}") from error
    return Frame(id, color, None if depth is None else depth[id], float(capture["depth_scale"]), camera)


def _check_scale(frames: tuple[Frame, ...], capture: Path) -> None:
    """Raise DataError where the first depth map that has readings cannot be in metres."""
    for frame in frames:
        depth = frame.read_depth()
        if depth is not None and (depth > 0).any():
            break
    else:
        return
    median = float(np.median(depth[depth > 0]))
    if not PLAUSIBLE[0] <= median <= PLAUSIBLE[1]:
        raise DataError(
            f"{frame.depth}: half of it is beyond {median:.3g} m at {frame.depth_scale:g} steps a metre; "
            f'write {capture.name} {{"depth_scale": the value of one metre}}, 1000 for millimetres'
        )


def _capture(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return dict(CAPTURE)
    try:
        content = json.loads(path.read_text())
        unknown = [key for key in content if key not in CAPTURE]
    except (ValueError, TypeError) as error:
        raise DataError(f"{path}: not a JSON object ({error})") from error
    if unknown:
        raise DataError(f"{path}: unknown key '{unknown[0]}'; known: {', '.join(CAPTURE)}")
    capture: dict[str, Any] = CAPTURE | content
    size = capture["depth_size"]
    if not isinstance(capture["depth_scale"], (int, float)) or not capture["depth_scale"] > 0:
        raise DataError(f"{path}: depth_scale must be a positive number (depth value of one metre)")
    if size is not None and not (
        isinstance(size, list) and len(size) == 2 and all(type(v) is int for v in size)
    ):
        raise DataError(f"{path}: depth_size must be [width, height]")
    remarks = capture["remarks"]
    if not isinstance(remarks, (list, tuple)) or not all(isinstance(one, str) for one in remarks):
        raise DataError(f"{path}: remarks must be a list of texts")
    scale = capture["scale"]
    if scale is not None and not (isinstance(scale, (int, float)) and 0 < scale < np.inf):
        raise DataError(f"{path}: scale must be a positive number (the metres of a unit of poses and mesh)")
    return capture


def _said(path: Path, said: placement.Said) -> placement.Said:
    """What capture.json says of the world, where `said` does not."""
    capture = _capture(path)
    up = said.up if capture["up"] is None else _numbers(path, "up", capture["up"], (3,))
    world = np.eye(4) if capture["world"] is None else _numbers(path, "world", capture["world"], (4, 4))
    scale = capture["scale"] if said.scale is None else said.scale
    return placement.Said(scale, up if said.up is None else said.up, said.world @ world)


def _numbers(path: Path, key: str, value: object, shape: tuple[int, ...]) -> F8:
    try:
        found = np.array(value, np.float64)
    except (TypeError, ValueError):
        found = np.zeros(0)
    if found.shape != shape or not np.isfinite(found).all() or not found[..., :3].any():
        raise DataError(f"{path}: {key} must be {'x'.join(map(str, shape))} numbers, not all 0")
    return found


def _array(path: Path) -> Integers:
    try:
        array: Array = np.load(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a readable array ({error}); save it with numpy.save") from error
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise DataError(f"{path}: expected one integer per vertex, not {array.dtype}{list(array.shape)}")
    return array


class _Entry(Entry):
    def open(self, section: parameters.Dataset, scenes: parameters.Scenes, memory: Path) -> Rgbd:
        return Rgbd(Path(section.root), section.name, scenes.frame_stride, scenes.voxel, memory)


ENTRY = _Entry("rgbd")
