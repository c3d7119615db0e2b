"""nuScenes' tables: which files belong to a keyframe, and where their sensors stood.

    ROOT/v1.0-*/scene.json                drives of 20 seconds
    ROOT/v1.0-*/sample.json               their keyframes, two a second
    ROOT/v1.0-*/sample_data.json          every file of every sensor, its time, the keyframe it belongs to
    ROOT/v1.0-*/ego_pose.json             of every file: the car in the world
    ROOT/v1.0-*/calibrated_sensor.json    the sensors on the car, intrinsics of the cameras
    ROOT/v1.0-*/sensor.json               their channels

as docs/schema_nuscenes.md of github.com/nutonomy/nuscenes-devkit (d9de17a) describes them. The devkit cannot
be a dependency, it asks for numpy < 2. It also holds every table whole; here one object at a time is decoded,
and only the keyframes' images and the LiDAR's files are kept.
"""

from __future__ import annotations

import functools
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from anyscene.arrays import F8
from anyscene.datasets import rotations
from anyscene.errors import DataError

TABLES = ("scene", "sample", "sample_data", "ego_pose", "calibrated_sensor", "sensor")
LIDAR, CAMERA = "LIDAR_TOP", "camera"
BLOCK = 1 << 24  # characters of a table that are in memory at a time
UNIT_TOLERANCE = 1e-3  # of the length of a quaternion
AGAIN = "unpack the metadata again"


class Placement(NamedTuple):
    """Where a sensor is on the car, or where the car is in the world. `Tables.pose` checks the values; here
    they are as they were read."""

    translation: list[float]  # metres: x, y, z
    rotation: list[float]  # unit quaternion: w, x, y, z


class Mount(NamedTuple):
    """A sensor on one of the cars."""

    channel: str
    modality: str
    placement: Placement
    intrinsics: list[list[float]]  # [3][3] of a camera, else empty


class SampleData(NamedTuple):
    """A file of one sensor."""

    token: str
    file: str  # relative to ROOT
    time: int  # microseconds
    ego_pose: str  # token
    mount: str  # token
    size: tuple[int, int]  # width, height of an image


@dataclass(frozen=True, eq=False)
class Tables:
    """The tables of one folder v1.0-*."""

    folder: Path
    keyframes: dict[str, list[str]]  # name of a scene -> tokens of its samples, by time
    captures: dict[str, dict[str, SampleData]]  # token of a sample -> channel -> file of the keyframe
    sweeps: dict[str, list[SampleData]]  # name of a scene -> files of the LiDAR by time
    mounts: dict[str, Mount]
    ego_poses: dict[str, Placement]

    def lidar(self, sample: str) -> SampleData:
        """The sweep of a keyframe. Raises DataError where there is none."""
        capture = self.captures.get(sample, {}).get(LIDAR)
        if capture is None:
            raise DataError(f"{self._path('sample_data')}: sample {sample} has no file of {LIDAR}; {AGAIN}")
        return capture

    def cameras(self, sample: str) -> dict[str, SampleData]:
        """The images of a keyframe, by channel. Raises DataError where there are none."""
        found = {
            channel: capture
            for channel, capture in sorted(self.captures.get(sample, {}).items())
            if self.mounts[capture.mount].modality == CAMERA
        }
        if not found:
            raise DataError(f"{self._path('sample_data')}: sample {sample} has no image; {AGAIN}")
        return found

    def sweeps_before(self, scene: str, key: SampleData, seconds: float) -> list[SampleData]:
        """The files of the LiDAR in the last `seconds` before that of a keyframe, the latest first."""
        earliest = key.time - 1e6 * seconds
        return [capture for capture in reversed(self.sweeps[scene]) if earliest <= capture.time < key.time]

    def ego_pose(self, capture: SampleData) -> F8:
        """f8[4,4]: car to world, metres. Raises DataError where it is missing or not rigid."""
        path = self._path("ego_pose")
        if capture.ego_pose not in self.ego_poses:
            raise DataError(f"{path}: lacks {capture.ego_pose}, the pose of {capture.file}; {AGAIN}")
        return _rigid(self.ego_poses[capture.ego_pose], f"{path}: {capture.ego_pose}")

    def pose(self, capture: SampleData) -> F8:
        """f8[4,4]: sensor to world, metres. Raises DataError where it is missing or not rigid."""
        mount = self.mounts[capture.mount].placement
        where = f"{self._path('calibrated_sensor')}: {capture.mount}"
        to_world: F8 = self.ego_pose(capture) @ _rigid(mount, where)
        return to_world

    def geometry(self, capture: SampleData) -> list[Any]:
        """Everything that the tables say about where and how a file was taken, for content keys."""
        return [capture.file, *self.mounts[capture.mount], self.ego_poses.get(capture.ego_pose)]

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.json"


def read(folder: Path, with_sweeps: bool) -> Tables:
    """The tables in `folder`, which are remembered until they change.

    with_sweeps: whether to read the files of the LiDAR between keyframes too. Raises DataError naming the
    table.
    """
    states = []
    for name in TABLES:
        try:
            state = (folder / f"{name}.json").stat()
        except OSError as error:
            raise DataError(f"{folder / name}.json: missing; unpack the metadata of {folder.name}") from error
        states.append((state.st_size, state.st_mtime_ns, state.st_ino))
    return _read(folder, with_sweeps, tuple(states))


def records(path: Path, *fields: str) -> Iterator[tuple[Any, ...]]:
    """The values of two or more `fields` of each object of a table. Raises DataError where the table is
    missing, cut short or not a table, and where an object lacks a field."""
    pick, number = itemgetter(*fields), 0
    try:
        for record in _objects(path):
            yield pick(record)
            number += 1
    except FileNotFoundError as error:
        raise DataError(f"{path}: missing; unpack the metadata of {path.parent.name}") from error
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise DataError(f"{path}: not a readable table ({error}); {AGAIN}") from error
    except (KeyError, TypeError) as error:
        raise DataError(f"{path}: object {number} has no field {error}; {AGAIN}") from error


def _objects(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a table, one at a time. Raises ValueError where it is not a list of objects."""
    decoder, text = json.JSONDecoder(), ""
    with path.open(encoding="utf-8") as file:
        while block := file.read(BLOCK):
            text, end = text + block, 0
            while (start := text.find("{", end)) >= 0:
                try:
                    record, end = decoder.raw_decode(text, start)
                except json.JSONDecodeError:
                    if len(text) - start > BLOCK:  # the next block would not complete it
                        raise
                    break
                yield record
            text = text[end:]
    if text.strip() not in ("]", "[]"):
        raise ValueError("it does not end as a list")


@functools.lru_cache(maxsize=4)
def _read(folder: Path, with_sweeps: bool, states: tuple[tuple[int, ...], ...]) -> Tables:
    path = {name: folder / f"{name}.json" for name in TABLES}
    names = dict(records(path["scene"], "token", "name"))
    scene_of: dict[str, str] = {}
    timed: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
    for token, scene, time in records(path["sample"], "token", "scene_token", "timestamp"):
        scene_of[token] = names[_known(scene, names, path["scene"], path["sample"])]
        timed[scene_of[token]].append((time, token))
    channels = {token: named for token, *named in records(path["sensor"], "token", "channel", "modality")}
    mounts = {}
    of_mount = ("token", "sensor_token", "translation", "rotation", "camera_intrinsic")
    for token, sensor, translation, rotation, intrinsics in records(path["calibrated_sensor"], *of_mount):
        name, modality = channels[_known(sensor, channels, path["sensor"], path["calibrated_sensor"])]
        mounts[token] = Mount(name, modality, Placement(translation, rotation), intrinsics)
    captures: defaultdict[str, dict[str, SampleData]] = defaultdict(dict)
    sweeps: defaultdict[str, list[SampleData]] = defaultdict(list)
    of_file = ("token", "filename", "timestamp", "ego_pose_token", "calibrated_sensor_token")
    of_use = ("width", "height", "sample_token", "is_key_frame")
    for *values, width, height, sample, is_key in records(path["sample_data"], *of_file, *of_use):
        token, file, time, ego_pose, mounted = values
        capture = SampleData(token, file, time, ego_pose, mounted, (width, height))
        mount = mounts[_known(capture.mount, mounts, path["calibrated_sensor"], path["sample_data"])]
        is_lidar = mount.channel == LIDAR
        if not (is_key and (is_lidar or mount.modality == CAMERA)) and not (is_lidar and with_sweeps):
            continue
        scene = scene_of[_known(sample, scene_of, path["sample"], path["sample_data"])]
        _inside(capture.file, path["sample_data"])
        if is_key:
            captures[sample][mount.channel] = capture
        if is_lidar:
            sweeps[scene].append(capture)
    wanted = {capture.ego_pose for of_sample in captures.values() for capture in of_sample.values()}
    wanted |= {capture.ego_pose for of_scene in sweeps.values() for capture in of_scene}
    ego_poses = {
        token: Placement(*placement)
        for token, *placement in records(path["ego_pose"], "token", "translation", "rotation")
        if token in wanted
    }
    for of_scene in sweeps.values():
        of_scene.sort(key=lambda capture: capture.time)
    keyframes = {scene: [token for _, token in sorted(samples)] for scene, samples in timed.items()}
    return Tables(folder, keyframes, dict(captures), dict(sweeps), mounts, ego_poses)


def _known(token: str, tokens: dict[str, Any], table: Path, named_by: Path) -> str:
    if token not in tokens:
        raise DataError(f"{table}: lacks {token}, which {named_by.name} names; {AGAIN}")
    return token


def _inside(file: str, table: Path) -> None:
    if Path(file).is_absolute() or ".." in Path(file).parts:
        raise DataError(f"{table}: file {file} is not below dataset.root; {AGAIN}")


def _rigid(placement: Placement, where: str) -> F8:
    """f8[4,4]: the matrix of a placement. Raises DataError where it is not rigid."""
    try:
        translation, rotation = (np.array(values, np.float64) for values in placement)
        whole = translation.shape == (3,) and rotation.shape == (4,) and np.isfinite(translation).all()
    except (TypeError, ValueError, OverflowError):
        whole = False
    if not whole or not abs(np.linalg.norm(rotation) - 1) < UNIT_TOLERANCE:
        raise DataError(
            f"{where}: not rigid, it takes a translation of three numbers and a unit quaternion; {AGAIN}"
        )
    matrix = np.eye(4)
    matrix[:3, :3] = rotations.of_quaternions(np.roll(rotation, -1))  # w last
    matrix[:3, 3] = translation
    return matrix
