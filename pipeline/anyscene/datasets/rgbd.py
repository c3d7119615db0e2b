"""Posed RGB-D scans in plain files: the form of the embedded demo and of a user's own capture.

    ROOT/splits/train.txt, val.txt       scene ids, one a line; without the folder every scene is in "val"
    ROOT/SCENE/color/FRAME.png|jpg       frames; any size
    ROOT/SCENE/depth/FRAME.png           optional; uint16, value / depth_scale = metres, 0 = no reading
    ROOT/SCENE/pose/FRAME.txt            4x4 camera-to-world, OpenCV axes
    ROOT/SCENE/intrinsics.txt            3x3 or 4x4 of the colour image, or one intrinsics/FRAME.txt per frame
    ROOT/SCENE/capture.json              optional: {"depth_scale": 1000, "depth_size": [width, height]}, by
                                         default millimetres, and the size of colour; depth_size may be a list
                                         of sizes, where frames differ; "scale", "up", "walls" and
                                         "world" of poses and mesh, as in `placement.Said`; and where numbers
                                         are meant otherwise, the other fields of `readings.Reading`
    ROOT/SCENE/mesh.ply                  vertices, and faces where there are any; without colours these come
                                         from the frames, and without the file the points from the depth maps
    ROOT/SCENE/truth/                    optional: vertex_label.npy, vertex_instance.npy and annotated frames

Depth is registered to colour (the same field of view) and of its size unless depth_size says otherwise.
Frames without a pose, without depth where others have it, and damaged ones are left out and counted.
Poses and mesh are in one world, in metres, z up; `placement` moves the scene there from coordinates of a map,
another unit that is said, and another up, and turns it along its walls.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from anyscene.arrays import F8, U1
from anyscene.datasets import cloud_from_depth, left_out, placement, ply, raw_files, seen_by_frames
from anyscene.datasets.entry import Entry
from anyscene.datasets.readings import Reading, reading_of
from anyscene.datasets.truth import Truth
from anyscene.datasets.walls import WALLS
from anyscene.datasets.whole_numbers import Kind, whole
from anyscene.errors import DataError, FrameError
from anyscene.project import array_files, parameters
from anyscene.project.digests import Digests
from anyscene.scene import Frame, Scene, inverse

CAPTURE = {
    "depth_scale": 1000.0,
    "depth_size": None,
    **asdict(Reading()),
    "scale": None,
    "up": None,
    "walls": None,
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
    farthest: float = 50.0  # metres; clouds that are made from depth leave out readings beyond
    # of the world of all scans; what it leaves open their capture.json may say
    said: placement.Said = field(default_factory=placement.Said)
    show_progress: bool = False  # on stderr, while the frames of a scan are read

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

    def frames(self, scene: str) -> left_out.Sorted[Frame]:
        """The frames of a scene in the world of its files, whose pixels are read later, and those that cannot
        be used. Raises DataError naming the file and what to do."""
        return self._frames(raw_files.scene_folder(self.root, scene))

    def read(self, scene: str, frames: left_out.Sorted[Frame] | None = None) -> Scene:
        """The scene; the pixels of its frames are read later. frames: what `frames` says of the scene, where
        it was asked before. Raises DataError naming the file and what to do."""
        folder = raw_files.scene_folder(self.root, scene)
        found, lost = self._frames(folder) if frames is None else frames
        mesh = folder / "mesh.ply"
        said = _said(folder / "capture.json", self.said)
        with_depth = all(frame.depth for frame in found)
        plain = True  # whether colours have to come from frames
        if mesh.is_file():
            surface = ply.read(mesh)
            step = placement.near(mesh, surface.xyz, said, not with_depth, _centres(found))
            found = tuple(frame.moved(step) for frame in found)
            plain = surface.rgb is None
            xyz, rgb, normal, face = seen_by_frames.completed(
                surface.moved(step), found, mesh, self.show_progress
            )
        elif with_depth:
            step = placement.near(folder / "pose", _centres(found), said, sized=False)
            found = tuple(frame.moved(step) for frame in found)
            xyz, rgb, normal = cloud_from_depth.from_frames(
                found, self.voxel, self.farthest, self.show_progress
            )
            face = np.zeros((0, 3), np.int32)
        else:
            raise DataError(
                f"{mesh}: missing, and there are no depth maps to take the points from; add either"
            )
        world, split = said.world @ inverse(step), self.splits().get(scene, "val")
        remarks = tuple(_capture(folder / "capture.json")["remarks"])
        read = Scene(scene, xyz, rgb, normal, face, found, split, self.name, lost, world, remarks, plain)
        return placement.upright(folder, read, said)

    def reading(self, scene: str) -> Reading:
        """How the numbers of its frames are taken, as its capture.json says; the scale of poses and mesh as
        `said` says, if it does."""
        path = raw_files.scene_folder(self.root, scene) / "capture.json"
        reading = _reading(_capture(path), path)
        return reading if self.said.scale is None else replace(reading, scale=self.said.scale)

    def correction(self, scene: str, changed: Mapping[str, Any]) -> str:
        """What makes fields of `reading` those that are given."""
        return f"write {json.dumps(dict(changed))} in {self.root / scene / 'capture.json'}"

    def read_truth(self, scene: str) -> Truth:
        """The annotation of the vertices. Raises DataError naming the file and what to do."""
        folder = raw_files.scene_folder(self.root, scene) / TRUTH
        file = folder / "vertex_label.npy"
        label = _array(file, np.int16)
        path = folder / "vertex_instance.npy"
        instance = _array(path, np.int32) if path.is_file() else np.full(len(label), -1, np.int32)
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

    def _frames(self, folder: Path) -> left_out.Sorted[Frame]:
        capture = _capture(folder / "capture.json")
        reading = _reading(capture, folder / "capture.json")
        color = raw_files.images_by_id(folder / "color")
        if not color:
            raise DataError(
                f"{folder / 'color'}: no colour images; put the frames there as FRAME.jpg or FRAME.png"
            )
        depth = raw_files.images_by_id(folder / "depth") if (folder / "depth").is_dir() else None
        ids = sorted(color, key=raw_files.natural)[:: self.stride]
        usual = _usual_size([color[id] for id in ids])
        found, lost = left_out.usable(
            [(id, id) for id in ids], lambda id: _frame(folder, id, color[id], usual, depth, capture, reading)
        )
        if depth is not None:
            _check_scale(found, folder / "capture.json")
        return found, lost


def _centres(frames: Sequence[Frame]) -> F8:
    """f8[K, 3]: where the cameras are."""
    return np.array([frame.camera.pose[:3, 3] for frame in frames]).reshape(-1, 3)


def _is_input(file: Path) -> bool:
    return file.parts[0] != TRUTH


def _is_vertex_truth(file: Path) -> bool:
    return file.parts[0] == TRUTH and len(file.parts) == 2


def _frame(
    folder: Path,
    id: str,
    color: Path,
    usual: tuple[int, int],
    depth: dict[str, Path] | None,
    capture: dict[str, Any],
    reading: Reading,
) -> Frame:
    """usual: the size (width, height) of images of which intrinsics that frames share are."""
    pose_file = folder / "pose" / f"{id}.txt"
    pose = raw_files.pose(pose_file)
    if depth is not None and id not in depth:
        raise FrameError(
            f"{folder / 'depth' / id}.png: missing; add the depth of frame {id} or delete the frame",
            left_out.NO_DEPTH,
        )
    size = raw_files.image_size(color)
    if depth is not None:
        _check_size(depth[id], color, size, capture["depth_size"] or [size])
        raw_files.refuse_empty(depth[id])
    shared, own = folder / "intrinsics.txt", folder / "intrinsics" / f"{id}.txt"
    intrinsics = own if own.is_file() else shared
    if not intrinsics.is_file():
        raise FrameError(
            f"{shared}: missing; write the 3x3 intrinsics of the colour images (or {own})", left_out.NO_CAMERA
        )
    matrix = raw_files.matrix(intrinsics, ((3, 3), (4, 4)))[:3, :3]
    if np.isfinite(matrix).all() and matrix[0, 0] > 0:  # otherwise Camera raises the error
        raw_files.centred(matrix, size, intrinsics, f"colour images such as {color.name}", CENTRE)
    if intrinsics == shared and size != usual:
        raise FrameError(
            f"{color}: {size[0]}x{size[1]}, most images are {usual[0]}x{usual[1]}, and {shared.name} is of "
            f"all of them; write its own intrinsics to {own}, or resize it",
            "image of another size than others that share its intrinsics",
        )
    raw_files.camera_of(matrix, np.eye(4), size, intrinsics)  # so that an error names the file that is wrong
    placed = raw_files.placed(reading, pose, pose_file)
    camera = raw_files.camera_of(matrix, placed, size, pose_file)
    stored = None if depth is None else depth[id]
    return Frame(id, color, stored, reading.depth_scale, camera, reading.depth_form)


def _usual_size(images: Sequence[Path]) -> tuple[int, int]:
    """(width, height) of most images; of damaged ones nothing is said here."""
    sizes: Counter[tuple[int, int]] = Counter()
    for path in images:
        with contextlib.suppress(FrameError):
            sizes[raw_files.image_size(path)] += 1
    return sizes.most_common(1)[0][0] if sizes else (0, 0)


def _check_size(depth: Path, color: Path, size: tuple[int, int], sizes: list[tuple[int, int]]) -> None:
    """Raise FrameError where the depth map is of none of the `sizes`, or not in the proportions of its image
    `color` of `size`. All are (width, height)."""
    found = raw_files.depth_size(depth)
    if found not in sizes:
        expected = " or ".join(f"{width}x{height}" for width, height in sizes)
        remedy = (
            f"the EXIF orientation of {color.name} turns it on its side, which is not read here: save the "
            "images with their pixels as depth has them"
            if found[::-1] in sizes and raw_files.is_turned(color)
            else "register it to the colour image; if it is smaller, write capture.json "
            '{"depth_size": [w, h]}'
        )
        raise FrameError(
            f"{depth}: depth is {found[0]}x{found[1]}, expected {expected}; {remedy}",
            "depth of another size",
        )
    if not same_shape(found, size):
        raise FrameError(
            f"{depth}: depth is {found[0]}x{found[1]}, its image {size[0]}x{size[1]}: turned, cropped or of "
            "a camera of its own; register it to the colour image",
            "depth of another shape than its image",
        )


def same_shape(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two sizes (width, height) have the same proportions, but for a pixel that rounding costs."""
    return abs(one[0] * other[1] - one[1] * other[0]) <= max(*one, *other)


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
        content = dict(json.loads(raw_files.text(path)))
    except (ValueError, TypeError) as error:
        raise DataError(f"{path}: not a JSON object ({error})") from error
    unknown = [key for key in content if key not in CAPTURE]
    if unknown:
        raise DataError(f"{path}: unknown key '{unknown[0]}'; known: {', '.join(CAPTURE)}")
    capture: dict[str, Any] = CAPTURE | content
    if (given := capture["depth_size"]) is not None:
        sizes = [given] if isinstance(given, list) and given and type(given[0]) is int else given
        if not isinstance(sizes, list) or not all(_is_size(size) for size in sizes):
            raise DataError(f"{path}: depth_size must be [width, height], or a list of such pairs")
        capture["depth_size"] = [tuple(size) for size in sizes]
    remarks = capture["remarks"]
    if not isinstance(remarks, (list, tuple)) or not all(isinstance(one, str) for one in remarks):
        raise DataError(f"{path}: remarks must be a list of texts")
    return capture


def _is_size(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(type(side) is int for side in value)


def _reading(capture: dict[str, Any], path: Path) -> Reading:
    """How numbers are taken. Its scale, which is for `placement`, is 1 where capture.json says none."""
    return reading_of({**capture, "scale": 1.0 if capture["scale"] is None else capture["scale"]}, path)


def _said(path: Path, said: placement.Said) -> placement.Said:
    """What capture.json says of the world, where `said` does not."""
    capture = _capture(path)
    up = said.up if capture["up"] is None else _numbers(path, "up", capture["up"], (3,))
    world = np.eye(4) if capture["world"] is None else _numbers(path, "world", capture["world"], (4, 4))
    if capture["walls"] not in (None, *WALLS):
        raise DataError(f"{path}: walls must be {' or '.join(WALLS)}, not {capture['walls']!r}")
    return placement.Said(
        capture["scale"] if said.scale is None else said.scale,
        up if said.up is None else said.up,
        walls=capture["walls"] if said.walls is None else said.walls,
        world=said.world @ world,
    )


def _numbers(path: Path, key: str, value: object, shape: tuple[int, ...]) -> F8:
    try:
        found = np.array(value, np.float64)
    except (TypeError, ValueError, OverflowError):
        found = np.zeros(0)
    if found.shape != shape or not np.isfinite(found).all() or not found[..., :3].any():
        raise DataError(f"{path}: {key} must be {'x'.join(map(str, shape))} numbers, not all 0")
    return found


def _array(path: Path, kind: type[Kind]) -> NDArray[Kind]:
    try:
        array = array_files.read(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a readable array ({error}); save it with numpy.save") from error
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise DataError(f"{path}: expected one integer per vertex, not {array.dtype}{list(array.shape)}")
    try:
        return whole(array, kind)
    except ValueError as error:
        raise DataError(f"{path}: {error}; export it again") from error


class _Entry(Entry):
    by_category = False

    def open(self, section: parameters.Dataset, scenes: parameters.Scenes, memory: Path) -> Rgbd:
        return Rgbd(
            Path(section.root), section.name, scenes.frame_stride, scenes.voxel, memory, scenes.farthest
        )


ENTRY = _Entry("rgbd")
