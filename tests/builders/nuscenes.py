"""Miniature drives in the on-disk form of nuScenes, written table by table from docs/schema_nuscenes.md of
its devkit, without any code of the reader under test.

A car drives along a bending road; a wall, two people and the road are fixed in the world, so every sweep is
the same points in other coordinates, and a pixel that sees a point can be told without a matrix: rotations
here are Hamilton products of quaternions (w, x, y, z).
"""

from __future__ import annotations

import hashlib
import itertools
import json
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (32, 18)  # width, height
INTRINSICS = [[25.3, 0.0, 16.3], [0.0, 25.3, 9.8], [0.0, 0.0, 1.0]]
CAMERAS = {  # degrees that each looks to the left
    "CAM_BACK": 180, "CAM_BACK_LEFT": 110, "CAM_BACK_RIGHT": -110,
    "CAM_FRONT": 0, "CAM_FRONT_LEFT": 55, "CAM_FRONT_RIGHT": -55,
}  # fmt: skip
FORWARD = (0.5, -0.5, 0.5, -0.5)  # of a camera (x right, y down, z ahead) on the car (x ahead, y left, z up)
TABLES = (
    "attribute", "calibrated_sensor", "category", "ego_pose", "instance", "lidarseg", "log", "map", "sample",
    "sample_annotation", "sample_data", "scene", "sensor", "visibility",
)  # fmt: skip
CATEGORIES = (  # in the order of their index
    "noise", "animal", "human.pedestrian.adult", "human.pedestrian.child",
    "human.pedestrian.construction_worker", "human.pedestrian.personal_mobility",
    "human.pedestrian.police_officer", "human.pedestrian.stroller", "human.pedestrian.wheelchair",
    "movable_object.barrier", "movable_object.debris", "movable_object.pushable_pullable",
    "movable_object.trafficcone", "static_object.bicycle_rack", "vehicle.bicycle", "vehicle.bus.bendy",
    "vehicle.bus.rigid", "vehicle.car", "vehicle.construction", "vehicle.emergency.ambulance",
    "vehicle.emergency.police", "vehicle.motorcycle", "vehicle.trailer", "vehicle.truck",
    "flat.driveable_surface", "flat.other", "flat.sidewalk", "flat.terrain", "static.manmade", "static.other",
    "static.vegetation", "vehicle.ego",
)  # fmt: skip
START = 1_532_402_927_600_000  # microseconds
INTERVAL = 500_000  # between keyframes


def about(axis: str, degrees: float) -> tuple[float, ...]:
    half = np.radians(degrees) / 2
    return (np.cos(half), *(np.sin(half) * (name == axis) for name in "xyz"))


def times(a, b) -> tuple[float, ...]:
    """Of quaternions: first b, then a."""
    (w, *v), (s, *u) = a, b
    v, u = np.array(v), np.array(u)
    return (w * s - v @ u, *(w * u + s * v + np.cross(v, u)))


def turned(points: np.ndarray, q) -> np.ndarray:
    """[N,3] by q p q*, written out."""
    w, v = q[0], np.array(q[1:])
    return points + 2 * np.cross(v, np.cross(v, points) + w * points)


def out_of(points: np.ndarray, placement: dict) -> np.ndarray:
    """[N,3] of what is placed so, in the coordinates it is placed in."""
    return turned(points, placement["rotation"]) + placement["translation"]


def into(points: np.ndarray, placement: dict) -> np.ndarray:
    """The inverse."""
    w, *v = placement["rotation"]
    return turned(points - np.array(placement["translation"]), (w, *(-x for x in v)))


def token(*parts) -> str:
    return hashlib.md5("/".join(map(str, parts)).encode()).hexdigest()


MOUNTS = {
    "LIDAR_TOP": {"translation": [0.94, 0.0, 1.84], "rotation": list(about("z", -89.6))},
    "RADAR_FRONT": {"translation": [3.4, 0.0, 0.5], "rotation": [1.0, 0.0, 0.0, 0.0]},
} | {
    channel: {"translation": [1.5, 0.02, 1.5], "rotation": list(times(about("z", degrees), FORWARD))}
    for channel, degrees in CAMERAS.items()
}


def ego(drive: int, time: int) -> dict:
    """The car at a time: at 8 m/s along a bend, nodding a little."""
    seconds = (time - START) / 1e6
    heading = times(about("z", 40 + 70 * drive + 6 * seconds), times(about("y", 0.8), about("x", -0.5)))
    forward = turned(np.array([[8.0 * seconds, 0.3 * seconds, 0]]), about("z", 40 + 70 * drive))[0]
    return {"translation": (np.array([600.0, 1600.0, 0]) + forward).tolist(), "rotation": list(heading)}


def world(drive: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(xyz f8[N,3] in the world, index of the category u1[N], intensity f4[N]) of what stands still."""
    x, y = np.meshgrid(np.arange(-12, 22, 2.0), np.arange(-6, 7, 4.0))
    road = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], 1)
    x, z = np.meshgrid(np.arange(-12, 22, 2.0), np.arange(0.2, 3, 0.9))
    wall = np.stack([x.ravel(), np.full(x.size, 9.0), z.ravel()], 1)
    height = np.arange(0.1, 1.8, 0.4)
    adult = np.stack([np.full(5, 12.0), np.full(5, -2.0), height], 1)
    child = np.stack([np.full(5, 14.0), np.full(5, 2.0), 0.6 * height], 1)
    dust = np.array([[11.0, 0.4, 2.2]])
    parts = {24: road, 28: wall, 2: adult, 3: child, 0: dust}
    xyz = np.concatenate(list(parts.values()))
    index = np.repeat(np.array(list(parts), np.uint8), [len(part) for part in parts.values()])
    xyz = turned(xyz, about("z", 40 + 70 * drive)) + [600.0, 1600.0, 0.0]
    return xyz, index, (7 * np.arange(len(xyz)) % 101).astype(np.float32)


OWN = np.array([[0.4, -0.9, -0.6], [-0.2, 0.5, -0.4]])  # of every sweep, LiDAR axes: the car's roof


def sweep(drive: int, time: int) -> tuple[np.ndarray, np.ndarray]:
    """(f4[N,5] as in the file, category u1[N])."""
    xyz, index, intensity = world(drive)
    xyz = np.concatenate([into(into(xyz, ego(drive, time)), MOUNTS["LIDAR_TOP"]), OWN])
    intensity = np.concatenate([intensity, [200, 201]])
    ring = np.arange(len(xyz)) % 32
    return np.column_stack([xyz, intensity, ring]).astype("<f4"), np.append(index, [31, 31]).astype(np.uint8)


def write_root(
    root: Path,
    *drives: str,
    version: str = "v1.0-mini",
    keyframes: int = 3,
    between: int = 2,
    annotated: bool = True,
) -> Path:
    """ROOT with `keyframes` of each drive, half a second apart, and `between` sweeps before each but the
    first."""
    rows = {name: [] for name in TABLES}
    for channel in MOUNTS:
        modality = channel.split("_")[0].replace("CAM", "camera").lower()
        rows["sensor"].append({"token": token(channel), "channel": channel, "modality": modality})
    rows["category"] = [
        {"token": token(name), "name": name, "description": "", "index": index}
        for index, name in enumerate(CATEGORIES)
    ]
    rows["log"] = [
        {
            "token": token("log"),
            "logfile": "n015",
            "vehicle": "n015",
            "date_captured": "2018-07-24",
            "location": "singapore-onenorth",
        }
    ]
    rows["map"] = [
        {
            "token": token("map"),
            "log_tokens": [token("log")],
            "category": "semantic_prior",
            "filename": "maps/road.png",
        }
    ]
    (root / "maps").mkdir(parents=True, exist_ok=True)
    Image.new("L", (4, 4)).save(root / "maps/road.png")
    for number, drive in enumerate(drives):
        _write_drive(root, number, drive, version, keyframes, between, rows, annotated)
    if not annotated:
        rows["lidarseg"] = []
    (root / version).mkdir(parents=True, exist_ok=True)
    for name, objects in rows.items():
        (root / version / f"{name}.json").write_text(json.dumps(objects, indent=0))
    return root


def _write_drive(root, number, drive, version, keyframes, between, rows, annotated) -> None:
    samples = [token(drive, "sample", k) for k in range(keyframes)]
    rows["scene"].append(
        {
            "token": token(drive),
            "log_token": token("log"),
            "nbr_samples": keyframes,
            "first_sample_token": samples[0],
            "last_sample_token": samples[-1],
            "name": drive,
            "description": "A wall {with} [brackets], two people",
        }
    )
    for channel, mount in MOUNTS.items():
        intrinsics = INTRINSICS if channel in CAMERAS else []
        rows["calibrated_sensor"].append(
            {
                "token": token(drive, channel),
                "sensor_token": token(channel),
                **mount,
                "camera_intrinsic": intrinsics,
            }
        )
    for k, sample in enumerate(samples):
        time = START + k * INTERVAL
        rows["sample"].append(
            {
                "token": sample,
                "timestamp": time,
                "prev": samples[k - 1] if k else "",
                "next": samples[k + 1] if k + 1 < keyframes else "",
                "scene_token": token(drive),
            }
        )
        lidar_times = [time] if k == 0 else [time - INTERVAL * s // (between + 1) for s in range(between + 1)]
        for at in lidar_times:
            file = _add(rows, number, drive, "LIDAR_TOP", sample, at, at == time, "pcd.bin", (0, 0))
            points, index = sweep(number, at)
            _bytes(root / file, points.tobytes())
            if at == time and annotated:
                data = rows["sample_data"][-1]["token"]
                name = f"lidarseg/{version}/{data}_lidarseg.bin"
                rows["lidarseg"].append({"token": data, "sample_data_token": data, "filename": name})
                _bytes(root / name, index.tobytes())
        for turn, channel in enumerate(CAMERAS):
            at = camera_time(time, turn)
            file = _add(rows, number, drive, channel, sample, at, True, "jpg", SIZE)
            picture = np.random.default_rng([number, k, turn]).integers(0, 256, (3, 4, 3), np.uint8)
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).resize(SIZE).save(root / file)
        # neither is read: an image between keyframes, which is not there, and radar
        _add(rows, number, drive, "CAM_FRONT", sample, time - 100_000, False, "jpg", SIZE)
        _add(rows, number, drive, "RADAR_FRONT", sample, time, True, "pcd", (0, 0))
    _chain(rows["sample_data"])


def camera_time(time: int, turn: int) -> int:
    return time - 40_000 + 8_000 * turn


def _add(rows, number, drive, channel, sample, time, is_key, ending, size) -> str:
    file = f"{'samples' if is_key else 'sweeps'}/{channel}/{drive}__{channel}__{time}.{ending}"
    pose = token(drive, channel, time, "pose")
    rows["ego_pose"].append({"token": pose, "timestamp": time, **ego(number, time)})
    rows["sample_data"].append(
        {
            "token": token(drive, channel, time),
            "sample_token": sample,
            "ego_pose_token": pose,
            "calibrated_sensor_token": token(drive, channel),
            "timestamp": time,
            "fileformat": ending.split(".")[0],
            "is_key_frame": is_key,
            "height": size[1],
            "width": size[0],
            "filename": file,
            "prev": "",
            "next": "",
        }
    )
    return file


def _chain(sample_data: list[dict]) -> None:
    """prev and next of each sensor's files in the order of time."""
    for mount in {row["calibrated_sensor_token"] for row in sample_data}:
        rows = sorted((r for r in sample_data if r["calibrated_sensor_token"] == mount), key=_time)
        for before, after in itertools.pairwise(rows):
            before["next"], after["prev"] = after["token"], before["token"]


def _time(row: dict) -> int:
    return row["timestamp"]


def _bytes(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def edit(root: Path, table: str, change, version: str = "v1.0-mini") -> None:
    """Rewrite a table: `change` is called with its list of objects."""
    path = root / version / f"{table}.json"
    objects = json.loads(path.read_text())
    change(objects)
    path.write_text(json.dumps(objects, indent=0))
