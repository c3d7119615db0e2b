"""nuScenes as it is released; every keyframe of a drive is a scene, named DRIVE_N like scene-0103_07:

    ROOT/v1.0-trainval|test|mini/*.json    the tables, which tables.py reads
    ROOT/samples/LIDAR_TOP/*.pcd.bin       the sweep of a keyframe: f4 x, y, z, intensity, ring; metres
    ROOT/samples/CAM_*/*.jpg               its six images, undistorted
    ROOT/sweeps/LIDAR_TOP/*.pcd.bin        the sweeps between keyframes, twenty a second
    ROOT/splits/train.txt, val.txt, ...    optional: drives (scene-0103) of other splits than the official

and the annotation, which truth.py reads. Sources: docs/schema_nuscenes.md and
LidarPointCloud of github.com/nutonomy/nuscenes-devkit (d9de17a) for the files; for what the field takes of
them scripts/preprocess/preprocess_*_nuscenes.py of github.com/pengsongyou/openscene (0f369bc): points of the
half second that ends at a keyframe, and that keyframe's images and labels.

Points and poses are in the coordinates of the car at the time of the keyframe's sweep: x forward, y left,
z up, the origin on the ground below the rear axle. Each sensor is placed by the car's pose at its own time.
Colour is the LiDAR's intensity, as grey. There are no depth images, so no occlusion test, as in OpenScene.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from anyscene.arrays import B1, F4, F8
from anyscene.datasets import raw_files
from anyscene.datasets.entry import Entry, Extent
from anyscene.datasets.geometry.normals import NEIGHBOURS, point_normals
from anyscene.datasets.label_sets import LabelSet, label_set
from anyscene.datasets.nuscenes import tables as nuscenes_tables
from anyscene.datasets.nuscenes import truth as nuscenes_truth
from anyscene.datasets.nuscenes.tables import SampleData, Tables
from anyscene.datasets.truth import Truth
from anyscene.errors import DataError
from anyscene.project import parameters
from anyscene.project.digests import Digests
from anyscene.scene import Camera, Frame, Scene

NAMES = ("train", "val", "test")
RELEASE = "v1.0-*"
KEYFRAME = re.compile(r"(.+)_(\d{2,})")
VALUES = 5  # the number of values of a point in a sweep
NEAR = 1.0  # metres from the LiDAR to each side: points of the car itself, of which sweeps would draw a trail
UNLISTED = "unlisted"


@dataclass(frozen=True)
class NuScenes:
    """The drives in `root`."""

    root: Path
    name: str  # of the data set
    stride: int = 1  # every n-th keyframe of a drive
    labels: str | Path = "nuscenes16"  # a label set with nuscenes_category
    seconds: float = 0.5  # before a keyframe, whose sweeps join it
    memory: Path | None = None  # folder in which the hashes of files are remembered

    def splits(self) -> dict[str, str]:
        """The split of every keyframe, which is that of its drive, sorted by id. The drives are those in
        ROOT/splits, or else those of the official lists of which the sweep of a keyframe is there. Raises
        DataError where there are none."""
        drives, listed = self._drives(), raw_files.listed_splits(self.root, NAMES)
        if listed is None:
            there = [name for name, tables in drives.items() if self._is_there(name, tables)]
            official = official_splits()
            listed = {drive: official.get(drive, UNLISTED) for drive in there}
        splits: dict[str, str] = {}
        for drive, split in listed.items():
            count = len(drives[drive].keyframes[drive]) if drive in drives else 0
            keyframes = [f"{drive}_{index:02d}" for index in range(0, count, self.stride)]
            splits |= dict.fromkeys(keyframes or [drive], split)  # keys() says what the drive lacks
        if not splits:
            raise DataError(
                f"{self.root}: no drives; unpack a part of the data set, samples/ and sweeps/, there"
            )
        return dict(sorted(splits.items()))

    def keys(self) -> dict[str, str | DataError]:
        """A hash of the split, the poses and the files of every scene, without the annotation; the error
        where they cannot be read."""
        drives, splits = self._drives(), self.splits()
        with Digests(self.memory) as digest:
            return {scene: self._key(scene, split, drives, digest) for scene, split in splits.items()}

    def truth_keys(self) -> dict[str, str | DataError]:
        """A hash of the annotation of every scene that has one, and of what its labels mean."""
        drives = self._drives()
        found: dict[str, str | DataError] = {}
        files = {folder: nuscenes_truth.label_files(folder) for folder in {t.folder for t in drives.values()}}
        meaning = {
            folder: nuscenes_truth.category_rows(folder, self._label_set()).tolist()
            for folder in files
            if files[folder]
        }
        with Digests(self.memory) as digest:
            for scene in self.splits():
                try:
                    tables, sample = _keyframe(scene, drives)
                    file = files[tables.folder].get(tables.lidar(sample).token)
                except DataError as error:
                    found[scene] = error
                    continue
                if file is not None:
                    extra = [meaning[tables.folder], self.seconds]
                    found[scene] = self._hashed([file], digest, extra, "unpack nuScenes-lidarseg")
        return found

    def read(self, scene: str) -> Scene:
        """The scene; the pixels of its frames are read later. Raises DataError naming the file and what to
        do."""
        tables, sample = _keyframe(scene, self._drives())
        key = tables.lidar(sample)
        to_car = np.linalg.inv(tables.ego_pose(key))
        places, intensity, seen_from = [], [], []
        for capture, points in zip(*self._sweeps(scene, tables, key), strict=True):
            pose = to_car @ tables.pose(capture)
            places.append(points[:, :3].astype(np.float64) @ pose[:3, :3].T + pose[:3, 3])
            intensity.append(points[:, 3])
            seen_from.append(np.broadcast_to(pose[:3, 3], (len(points), 3)))
        xyz = np.concatenate(places).astype(np.float32)
        if len(xyz) <= NEIGHBOURS:
            raise DataError(f"{self.root / key.file}: hardly any points, {len(xyz)}; unpack it again")
        grey = np.clip(np.rint(np.concatenate(intensity)), 0, 255).astype(np.uint8)
        frames = tuple(
            self._frame(channel, capture, to_car @ tables.pose(capture), tables)
            for channel, capture in tables.cameras(sample).items()
        )
        return Scene(
            scene,
            xyz,
            np.repeat(grey[:, None], 3, 1),
            point_normals(xyz, np.concatenate(seen_from)),
            np.zeros((0, 3), np.int32),
            frames,
            self._split(scene),
            self.name,
            world=tables.ego_pose(key),  # the map of the drive
        )

    def read_truth(self, scene: str) -> Truth:
        """The annotation of the points of the keyframe; points of earlier sweeps have none. Raises DataError
        naming the file and what to do."""
        tables, sample = _keyframe(scene, self._drives())
        key = tables.lidar(sample)
        own, *earlier = self._sweeps(scene, tables, key)[1]
        truth = nuscenes_truth.read(self.root, tables.folder, key.token, self._label_set())
        if len(truth.label) != len(own):
            raise DataError(
                f"{truth.file}: {len(truth.label)} labels for the {len(own)} points of {key.file}; unpack "
                "both again"
            )
        rest = np.full(sum(map(len, earlier)), -1)
        return Truth(
            np.concatenate([truth.label, rest.astype(np.int16)]),
            np.concatenate([truth.instance, rest.astype(np.int32)]),
            truth.file,
            truth.unknown,
        )

    def read_frame_truth(self, scene: str, frame: str) -> None:
        """None, since images are not annotated."""

    def _label_set(self) -> LabelSet:
        return label_set(self.labels)

    def _drives(self) -> dict[str, Tables]:
        """The tables of each drive. v1.0-mini is a part of v1.0-trainval, so its tables are used only without
        the latter."""
        folders = sorted(path for path in self.root.glob(RELEASE) if path.is_dir())
        if not folders:
            raise DataError(f"{self.root}: no folder {RELEASE}; dataset.root must hold v1.0-trainval, ...")
        tables = [nuscenes_tables.read(folder, self.seconds > 0) for folder in folders]
        return {drive: of_folder for of_folder in tables for drive in of_folder.keyframes}

    def _is_there(self, drive: str, tables: Tables) -> bool:
        captures = (tables.captures.get(sample, {}) for sample in tables.keyframes[drive])
        sweeps = (found[nuscenes_tables.LIDAR] for found in captures if nuscenes_tables.LIDAR in found)
        return any((self.root / sweep.file).is_file() for sweep in sweeps)

    def _split(self, scene: str) -> str:
        splits = raw_files.listed_splits(self.root, NAMES)
        drive, _ = drive_and_index(scene)
        return (official_splits() if splits is None else splits).get(drive, UNLISTED)

    def _key(self, scene: str, split: str, drives: dict[str, Tables], digest: Digests) -> str | DataError:
        try:
            tables, sample = _keyframe(scene, drives)
            drive, _ = drive_and_index(scene)
            if split == UNLISTED:
                raise DataError(
                    f"{tables.folder}: {drive} is in none of nuScenes' official splits; list it in "
                    f"{self.root / 'splits'}/train.txt, val.txt or test.txt"
                )
            key = tables.lidar(sample)
            captures = [key, *tables.sweeps_before(drive, key, self.seconds)]
            captures += tables.cameras(sample).values()
        except DataError as error:
            return error
        extra = [split, self.name, self.seconds, [tables.geometry(capture) for capture in captures]]
        return self._hashed(
            [capture.file for capture in captures],
            digest,
            extra,
            "unpack the part of the data set that holds it; if it is of sweeps/, "
            "dataset.nuscenes.sweep_seconds 0 does without; or list the drives that are there in "
            f"{self.root / 'splits'}",
        )

    def _hashed(self, files: list[str], digest: Digests, extra: list[Any], remedy: str) -> str | DataError:
        for file in files:
            if not (self.root / file).is_file():
                return DataError(f"{self.root / file}: missing; {remedy}")
        return raw_files.key_of_files(self.root, [Path(file) for file in files], digest, extra)

    def _sweeps(self, scene: str, tables: Tables, key: SampleData) -> tuple[list[SampleData], list[F4]]:
        """The sweep of the keyframe and those before it, the latest first: their files, and f4[n,5] of each.
        Of the keyframe these are all points, of the others those that are not near."""
        drive, _ = drive_and_index(scene)
        captures = [key, *tables.sweeps_before(drive, key, self.seconds)]
        own, *earlier = (read_sweep(self.root / capture.file) for capture in captures)
        return captures, [own, *(points[~_is_near(points)] for points in earlier)]

    def _frame(self, channel: str, capture: SampleData, pose: F8, tables: Tables) -> Frame:
        path, where = self.root / capture.file, f"{tables.folder}/calibrated_sensor.json: {capture.mount}"
        if not path.is_file():
            raise DataError(f"{path}: missing; unpack the part of the data set that holds it")
        if raw_files.image_size(path) != capture.size:
            raise DataError(
                f"{path}: {'x'.join(map(str, raw_files.image_size(path)))}, the tables say "
                f"{'x'.join(map(str, capture.size))}; unpack it again, images are resized in projection"
            )
        try:
            intrinsics = np.array(tables.mounts[capture.mount].intrinsics, np.float64)
            camera = Camera(intrinsics, pose, *capture.size)
        except (DataError, ValueError, TypeError) as error:
            raise DataError(f"{where}: {error}; {nuscenes_tables.AGAIN}") from error
        return Frame(channel, path, None, 1.0, camera)


def official_splits() -> dict[str, str]:
    """The split of every drive: 700 train, 150 val, 150 test. They hold for v1.0-mini too, whose own lists
    (mini_train, mini_val) differ in scene-0553 and scene-0796."""
    return {
        drive: name for name in NAMES for drive in raw_files.lines(raw_files.SPLITS / f"nuscenes_{name}.txt")
    }


def drive_and_index(scene: str) -> tuple[str, int]:
    """("scene-0103", 7) for the id scene-0103_07. Raises DataError for any other id."""
    if (found := KEYFRAME.fullmatch(scene)) is None:
        raise DataError(f"scene {scene!r}: not a keyframe of a drive; name it like scene-0103_07")
    return found[1], int(found[2])


def read_sweep(path: Path) -> F4:
    """f4[N,5]: x, y, z in the axes of the LiDAR and in metres, the intensity 0..255, and the ring. Raises
    DataError naming the file."""
    try:
        values = np.fromfile(path, "<f4") if path.stat().st_size % (4 * VALUES) == 0 else None
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}); unpack the part of the data set that holds it, or "
            "set dataset.nuscenes.sweep_seconds to 0 to do without sweeps/"
        ) from error
    if values is None or not len(values):
        raise DataError(
            f"{path}: {path.stat().st_size} bytes are not points of {VALUES} floats; unpack it again"
        )
    points = values.reshape(-1, VALUES)
    if not np.isfinite(points[:, :4]).all():
        raise DataError(
            f"{path}: point {np.flatnonzero(~np.isfinite(points[:, :4]).all(1))[0]} is NaN or infinite; "
            "unpack it again"
        )
    return points


def _is_near(points: F4) -> B1:
    """b1[N]: whether points f4[N,5] are those that the devkit's remove_close removes."""
    near: B1 = np.all(np.abs(points[:, :2]) < NEAR, 1)
    return near


def _keyframe(scene: str, drives: dict[str, Tables]) -> tuple[Tables, str]:
    """(the tables of its drive, the token of its sample). Raises DataError where there is none."""
    drive, index = scene, -1
    if KEYFRAME.fullmatch(scene):
        drive, index = drive_and_index(scene)
    if drive not in drives:
        raise DataError(
            f"{drive}: in the tables of no {RELEASE} in dataset.root; unpack the metadata of its version, or "
            "take it off the split"
        )
    tables = drives[drive]
    if not 0 <= index < len(tables.keyframes[drive]):
        raise DataError(
            f"{tables.folder / 'sample.json'}: {drive} has {len(tables.keyframes[drive])} keyframes, "
            f"{scene!r} names none; name it like scene-0103_07"
        )
    return tables, tables.keyframes[drive][index]


@dataclass(frozen=True)
class Settings:
    """The section dataset.nuscenes."""

    sweep_seconds: float  # LiDAR sweeps of so many seconds before a keyframe join it; 0: none do

    def __post_init__(self) -> None:
        parameters.within("dataset.nuscenes", self, 0, 60, "sweep_seconds")


class _Entry(Entry):
    settings = Settings
    origins = "drives"

    def origin(self, scene: str) -> str:
        return scene.rpartition("_")[0]  # the keyframe's number stands last

    def open(self, section: parameters.Dataset, scenes: parameters.Scenes, memory: Path) -> NuScenes:
        labels, seconds = section.label_set, section.settings(self.name).sweep_seconds
        return NuScenes(Path(section.root), section.name, scenes.frame_stride, labels, seconds, memory)

    def published(self, stride: int) -> Extent:
        training, val = 28_130, 6_019  # keyframes, which are scenes
        known = "the keyframes of nuScenes' train and val (Caesar et al. 2020), 6 cameras each"
        whole = training + val
        return Extent(whole // stride, training // stride, 6 * whole // stride, None, known)


ENTRY = _Entry("nuscenes")
