"""A generated reconstruction of COLMAP, text or binary, after colmap.github.io, "Output Format"."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from tests.builders.wall import View

NUMBERS = {
    "SIMPLE_PINHOLE": 0,
    "PINHOLE": 1,
    "SIMPLE_RADIAL": 2,
    "RADIAL": 3,
    "OPENCV": 4,
    "OPENCV_FISHEYE": 5,
    "FULL_OPENCV": 6,
}
UNIT = 0.4  # metres of a unit of the reconstruction
OFFSET = np.array([1.0, -2.0, 0.7])


def arbitrary(rotation: Sequence[float] = (0.4, -1.9, 0.8)) -> np.ndarray:
    """f8[4,4]: the true world, metres and z up, to that of a reconstruction, turned by a rotation vector."""
    world = np.eye(4)
    world[:3, :3] = Rotation.from_rotvec(rotation).as_matrix() / UNIT
    world[:3, 3] = OFFSET
    return world


def up_of(world: np.ndarray) -> str:
    """What --up is given for it."""
    return ",".join(f"{value:.6f}" for value in world[:3, 2])


def write_workspace(
    folder: Path,
    views: Sequence[View],
    world: np.ndarray,
    *,
    binary: bool = True,
    sparse: str = "sparse",
    model: str = "PINHOLE",
    distortion: Sequence[float] = (),
    depth: bool = True,
    names: Sequence[str] | None = None,
) -> list[str]:
    """FOLDER/images, FOLDER/SPARSE and FOLDER/stereo; the names of the images. distortion: what the
    parameters of `model` end in."""
    names = list(names or [f"IMG_{index:04d}.png" for index in range(len(views))])
    cameras, images, points = [], [], []
    for index, (view, name) in enumerate(zip(views, names, strict=True)):
        image, height, width = folder / "images" / name, *view.rgb.shape[:2]
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(view.rgb).save(image)
        focal = view.focal if model == "PINHOLE" or "OPENCV" in model else view.focal[:1]
        cameras.append((7 + index, model, width, height, [*focal, *view.centre, *distortion]))
        pose = world @ view.pose @ np.diag([1.0, -1, -1, 1])
        pose[:3, :3] *= UNIT
        inverse = np.linalg.inv(pose)
        x, y, z, w = Rotation.from_matrix(inverse[:3, :3]).as_quat()
        images.append((20 + index, [w, x, y, z, *inverse[:3, 3]], 7 + index, name, []))
        for u, v in ((9.5, 9.5), (30.5, 20.5)) if index < len(views) - 1 else ():  # the last sees no point
            z = view.depth[int(v), int(u)] / UNIT
            ray = np.array([(u - view.centre[0]) / view.focal[0], (v - view.centre[1]) / view.focal[1], 1])
            rgb, xyz, id = view.rgb[int(v), int(u)], pose[:3, :3] @ (z * ray) + pose[:3, 3], 100 + len(points)
            track = []
            for seer in {0, index}:
                track.append((20 + seer, len(images[seer][-1])))
                images[seer][-1].append((id, u, v))
            points.append((id, xyz, rgb, track))
        if depth:
            write_map(folder / "stereo" / "depth_maps" / f"{name}.geometric.bin", view.depth / UNIT)
    (folder / sparse).mkdir(parents=True, exist_ok=True)
    (_write_binary if binary else _write_text)(folder / sparse, cameras, images, points)
    return names


def write_map(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = values.shape
    path.write_bytes(f"{width}&{height}&1&".encode() + values.astype("<f4").tobytes())


def _write_text(folder: Path, cameras: list, images: list, points: list) -> None:
    lines = ["# Camera list with one line of data per camera:"]
    lines += [f"{id} {model} {w} {h} {_text(values)}" for id, model, w, h, values in cameras]
    (folder / "cameras.txt").write_text("\n".join(lines) + "\n")
    lines = ["# Image list with two lines of data per image:", "#   IMAGE_ID, QW, QX, ..."]
    for id, pose, camera, name, seen in images:
        lines += [f"{id} {_text(pose)} {camera} {name}"]
        lines += [" ".join(f"{u} {v} {point}" for point, u, v in seen)]
    (folder / "images.txt").write_text("\n".join(lines) + "\n")
    lines = ["# 3D point list"]
    for id, xyz, rgb, track in points:
        lines += [f"{id} {_text(xyz)} {_text(rgb)} 0.5 {_text([value for pair in track for value in pair])}"]
    (folder / "points3D.txt").write_text("\n".join(lines) + "\n")


def _text(values: Sequence) -> str:
    return " ".join(str(value) for value in values)


def _write_binary(folder: Path, cameras: list, images: list, points: list) -> None:
    data = struct.pack("<Q", len(cameras))
    for id, model, width, height, values in cameras:
        data += struct.pack(f"<IiQQ{len(values)}d", id, NUMBERS[model], width, height, *values)
    (folder / "cameras.bin").write_bytes(data)
    data = struct.pack("<Q", len(images))
    for id, pose, camera, name, seen in images:
        data += struct.pack("<I7dI", id, *pose, camera) + name.encode() + b"\0" + struct.pack("<Q", len(seen))
        for point, u, v in seen:
            data += struct.pack("<ddq", u, v, point)
    (folder / "images.bin").write_bytes(data)
    data = struct.pack("<Q", len(points))
    for id, xyz, rgb, track in points:
        data += struct.pack("<Q3d3BdQ", id, *xyz, *rgb.tolist(), 0.5, len(track))
        data += b"".join(struct.pack("<II", *pair) for pair in track)
    (folder / "points3D.bin").write_bytes(data)
