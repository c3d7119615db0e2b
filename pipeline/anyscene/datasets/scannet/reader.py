"""ScanNet v2 as it is released, one folder per scan:

    ROOT/SCENE/SCENE.sens                    colour, depth and poses; or, where there is none, the extracted
    ROOT/SCENE/color|depth|pose/FRAME.*      frames, as ScanNet's SensReader and OpenScene write them, with
    ROOT/SCENE/intrinsic/intrinsic_depth.txt (SensReader) or ROOT/intrinsics.txt (OpenScene: one for all)
    ROOT/SCENE/SCENE_vh_clean_2.ply          the mesh whose vertices are annotated: the scene's points
    ROOT/SCENE/SCENE.txt                     its axisAlignment, read where axis_alignment asks for it
    ROOT/splits/train.txt, val.txt, test.txt optional: other splits than the official ones

and the annotation, which pipeline/anyscene/datasets/scannet/truth.py reads.

Colour (1296x968) and depth (640x480) have one field of view; frames carry the depth camera, as OpenScene's
do, so that the occlusion test is exact; colour is off by at most half a pixel of 240 rows. The extrinsics in
.sens are not applied, as in OpenScene and ScanNet's own exports.

Axis alignment, where asked for, turns the points, their normals and the poses together, so that pixels and
points still correspond; a scan whose SCENE.txt has none (the test scans) stays as it is, as in ScanNet200's
preprocessing. Without it (OpenScene, SAS) the vertices are those of the released mesh, bit for bit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from anyscene.arrays import F8, U1
from anyscene.datasets import left_out, ply, raw_files
from anyscene.datasets.entry import Entry, Extent, beside
from anyscene.datasets.label_sets import LabelSet, label_set
from anyscene.datasets.scannet import sens, truth
from anyscene.datasets.truth import Truth
from anyscene.errors import DataError, FrameError
from anyscene.project import parameters
from anyscene.project.digests import Digests
from anyscene.scene import Camera, Frame, ImageLocation, Scene, inverse

SCAN = re.compile(r"scene\d{4}_\d{2}")
NAMES = ("train", "val", "test")
EXTRACTED = ("color", "depth", "pose", "intrinsic")
DEPTH_SCALE = 1000.0  # of extracted frames, which do not say it
Intrinsics = Literal["own", "openscene"]
# f8[3,3]: the camera that OpenScene and SAS take for all scans, and its size (OpenScene's
# scripts/preprocess/preprocess_2d_scannet.py:84, SAS's lseg_feat/fusion_scannet.py:131-134, 222)
OPENSCENE = np.array([[577.870605, 0, 319.5], [0, 577.870605, 239.5], [0, 0, 1]])
OPENSCENE_SIZE = (640, 480)
UNLISTED = "unlisted"


@dataclass(frozen=True)
class ScanNet:
    """The scans in `root`."""

    root: Path
    name: str  # of the data set
    stride: int = 1  # every n-th frame of a scan
    labels: str | Path = "scannet20"  # a label set with nyu40_id or scannet_id
    align: bool = False  # turn points and poses to the axes of SCENE.txt
    intrinsics: Intrinsics = "own"  # those of each scan, or OPENSCENE for all
    memory: Path | None = None  # folder in which the hashes of files are remembered

    def splits(self) -> dict[str, str]:
        """The split of every scene, sorted by id. The splits are those in ROOT/splits, or else the official
        ones of the scans that are there. Raises DataError where there are no scenes."""
        if not self.root.is_dir():
            raise DataError(
                f"{self.root}: no such folder; dataset.root must hold the folders scene0000_00, ..."
            )
        splits = raw_files.listed_splits(self.root, NAMES)
        if splits is None:
            there = [path.name for path in self.root.iterdir() if SCAN.fullmatch(path.name)]
            official = official_splits()
            splits = {scene: official.get(scene, UNLISTED) for scene in there}
        if not splits:
            raise DataError(f"{self.root}: no scenes; each is a folder named like scene0000_00")
        return dict(sorted(splits.items()))

    def keys(self) -> dict[str, str | DataError]:
        """A hash of the split and the files of every scene, without the annotation; the error where they
        cannot be read."""
        with Digests(self.memory) as digest:
            return {scene: self._key(scene, split, digest) for scene, split in self.splits().items()}

    def truth_keys(self) -> dict[str, str | DataError]:
        """A hash of the annotation of every scene that has one, and of what its labels mean."""
        chosen = self._label_set()
        meaning = {name: ids.tolist() for name, ids in chosen.ids.items()}
        if "nyu40" not in chosen.ids:  # then labels depend on the table of categories
            meaning["table"] = truth.table_text(self.root)
        with Digests(self.memory) as digest:
            return {
                scene: raw_files.key(self.root, scene, digest, truth.files(scene).__contains__, [meaning])
                for scene in self.splits()
                if truth.is_annotated(self.root / scene)
            }

    def read(self, scene: str) -> Scene:
        """The scene; the pixels of its frames are read later. Raises DataError naming the file and what to
        do."""
        folder = raw_files.scene_folder(self.root, scene)
        mesh = folder / f"{scene}_vh_clean_2.ply"
        if not mesh.is_file():
            raise DataError(f"{mesh}: missing; download it")
        xyz, rgb, normal, face = ply.read_mesh(mesh)
        turn = np.eye(4)
        if self.align and (found := axis_alignment(folder / f"{scene}.txt")) is not None:
            turn = found
            xyz = xyz @ turn[:3, :3].T + turn[:3, 3]
            normal = (normal @ turn[:3, :3].T).astype(np.float32)
        stream = folder / f"{scene}.sens"
        if stream.is_file():
            records = _streamed(stream, self.stride, self.intrinsics)
        else:
            records = _extracted(folder, self.root, self.stride, self.intrinsics)
        try:
            frames, lost = left_out.usable(records, lambda record: _posed(record(), turn))
        except FrameError as error:
            if error.why == left_out.NO_POSE:
                count = f"none of {len(records)} frames has a pose"
                raise DataError(f"{folder}: {count}; take {scene} off the split") from error
            raise
        split = self.splits().get(scene, UNLISTED)
        xyz, world = xyz.astype(np.float32, copy=False), inverse(turn)
        return Scene(scene, xyz, rgb, normal, face, frames, split, self.name, lost, world)

    def read_truth(self, scene: str) -> Truth:
        """The annotation of the vertices. Raises DataError naming the file and what to do."""
        return truth.read(raw_files.scene_folder(self.root, scene), self._label_set())

    def read_frame_truth(self, scene: str, frame: str) -> U1 | None:
        """u1[H,W]: the annotation of one frame, rows of the label set, 255 = none; None where it is not
        annotated. Raises DataError naming the file."""
        return truth.read_frame(raw_files.scene_folder(self.root, scene), frame, self._label_set())

    def _label_set(self) -> LabelSet:
        return label_set(self.labels)

    def _key(self, scene: str, split: str, digest: Digests) -> str | DataError:
        if split == UNLISTED:
            return DataError(
                f"{self.root / scene}: in none of ScanNet's official splits; list it in "
                f"{self.root / 'splits'}/train.txt, val.txt or test.txt"
            )
        streamed, shared = (self.root / scene / f"{scene}.sens").is_file(), self.root / "intrinsics.txt"
        own = {f"{scene}_vh_clean_2.ply"}
        own |= {f"{scene}.sens"} if streamed else set()
        own |= {f"{scene}.txt"} if self.align else set()

        def wanted(file: Path) -> bool:
            return file.as_posix() in own or (not streamed and file.parts[0] in EXTRACTED)

        intrinsics = shared.read_text(encoding="utf-8") if not streamed and shared.is_file() else None
        extra = [split, self.name, self.align, intrinsics]
        # of their own, keys are as before there were others
        extra += [] if self.intrinsics == "own" else [self.intrinsics]
        return raw_files.key(self.root, scene, digest, wanted, extra)


def official_splits() -> dict[str, str]:
    """The split of every scan of ScanNet v2: 1201 train, 312 val, 100 test."""
    return {
        scene: name for name in NAMES for scene in raw_files.lines(raw_files.SPLITS / f"scannet_{name}.txt")
    }


def axis_alignment(path: Path) -> F8 | None:
    """f8[4,4]: the rotation and shift from the world of a scan to its axes; None where SCENE.txt has none.
    Raises DataError where the file is missing or the matrix is not rigid."""
    if not path.is_file():
        raise DataError(f"{path}: missing; download it, or set dataset.scannet.axis_alignment to false")
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        name, _, value = line.partition("=")
        if name.strip() == "axisAlignment":
            try:
                matrix = np.array([float(v) for v in value.split()]).reshape(4, 4)
                return np.array(Camera(np.eye(3), matrix, 1, 1).pose)  # checked as poses are
            except (ValueError, DataError) as error:
                raise DataError(
                    f"{path}: axisAlignment is not a rigid 4x4 matrix; download the file again"
                ) from error
    return None


@dataclass(frozen=True, eq=False)
class _Record:
    """A frame whose pose is not checked yet."""

    id: str
    color: ImageLocation
    depth: ImageLocation
    depth_scale: float
    intrinsics: F8  # f8[3,3], of the depth camera
    pose: F8  # f8[4,4], camera to world
    size: tuple[int, int]  # width, height of its depth
    where: str  # the place of the pose, for messages


def _posed(record: _Record, turn: F8) -> Frame:
    """The frame, turned by `turn` f8[4,4]. Raises FrameError, also where tracking was lost: then the pose is
    not finite."""
    camera = raw_files.camera_of(record.intrinsics, record.pose, record.size, record.where)
    turned = raw_files.camera_of(record.intrinsics, turn @ camera.pose, record.size, record.where)
    return Frame(record.id, record.color, record.depth, record.depth_scale, turned)


_Records = list[tuple[str, Callable[[], _Record]]]  # by the ids of frames; a call may raise FrameError


def openscene_camera(size: tuple[int, int]) -> F8:
    """f8[3,3]: OPENSCENE for depth maps of `size`."""
    return np.array(Camera(OPENSCENE, np.eye(4), *OPENSCENE_SIZE).resized(*size).intrinsics)


def _streamed(path: Path, stride: int, camera: Intrinsics) -> _Records:
    index = sens.read_index(path)
    if camera == "openscene":
        intrinsics = openscene_camera(index.depth_size)
    else:
        intrinsics = raw_files.centred(index.depth_intrinsics[:3, :3], index.depth_size, path)

    def record(k: int) -> _Record:
        return _Record(
            str(k), index.color[k], index.depth[k], index.depth_scale, intrinsics, index.pose[k],
            index.depth_size, f"{path}: frame {k}",
        )  # fmt: skip

    return [(str(k), partial(record, k)) for k in range(0, len(index), stride)]


def _extracted(folder: Path, root: Path, stride: int, camera: Intrinsics) -> _Records:
    if not (folder / "color").is_dir():
        raise DataError(
            f"{folder / folder.name}.sens: missing; download it, or extract its frames to color/, ..."
        )
    color, depth = raw_files.images_by_id(folder / "color"), raw_files.images_by_id(folder / "depth")
    own, shared = folder / "intrinsic" / "intrinsic_depth.txt", root / "intrinsics.txt"
    path = own if own.is_file() else shared
    if camera == "own":
        if not path.is_file():
            raise DataError(f"{own}: missing; export it with the frames (OpenScene's is {shared})")
        matrix = raw_files.matrix(path, ((3, 3), (4, 4)))[:3, :3]

    def record(id: str) -> _Record:
        pose_file = folder / "pose" / f"{id}.txt"
        pose = raw_files.pose(pose_file)
        if id not in depth:
            raise FrameError(
                f"{folder / 'depth' / id}.png: missing; extract frame {id} again or delete it",
                left_out.NO_DEPTH,
            )
        raw_files.image_size(color[id])
        size = raw_files.depth_size(depth[id])
        intrinsics = (
            openscene_camera(size) if camera == "openscene" else raw_files.centred(matrix, size, path)
        )
        return _Record(id, color[id], depth[id], DEPTH_SCALE, intrinsics, pose, size, str(pose_file))

    return [(id, partial(record, id)) for id in sorted(color, key=raw_files.natural)[::stride]]


@dataclass(frozen=True)
class Settings:
    """The section dataset.scannet."""

    axis_alignment: bool  # whether points and poses are turned until walls stand along the axes
    # of the depth camera: each scan's own, or those of OpenScene and SAS for all (577.870605 at 640x480)
    intrinsics: Intrinsics


class _Entry(Entry):
    settings = Settings
    origins = "spaces"  # many were scanned several times

    def origin(self, scene: str) -> str:
        return scene.partition("_")[0]

    def open(self, section: parameters.Dataset, scenes: parameters.Scenes, memory: Path) -> ScanNet:
        own = section.settings(self.name)
        return ScanNet(
            Path(section.root), section.name, scenes.frame_stride, section.label_set,
            own.axis_alignment, own.intrinsics, memory,
        )  # fmt: skip

    def files(self, section: parameters.Dataset) -> Sequence[Path]:
        return beside(Path(section.root), truth.TABLE)

    def published(self, stride: int) -> Extent:
        known = "ScanNet's train and val: 2.5 million views (Dai et al. 2017)"
        return Extent(1513, 1201, 2_500_000 // stride, None, known)


ENTRY = _Entry("scannet")
