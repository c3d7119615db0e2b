"""A generated capture in nerfstudio's form, ray by ray after its "Data conventions", without any code of the
importer under test: a wall at y = 2 m whose colour says where on it a pixel looks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

WIDTH, HEIGHT, FOCAL = 96, 64, 80.0
CENTRE = (47.0, 33.5)  # the middle of the first pixel is (0.5, 0.5)
SPAN = 4.0  # metres that the colours 0..255 stand for
ORIGIN = np.array([-1.5, 0.0, -1.5])  # where they begin: red along x, blue along z
DISTORTION = {"k1": -0.2, "k2": 0.05, "p1": 0.01, "p2": -0.008}


def rolled(quarters: int = 0, yaw: float = 15.0) -> np.ndarray:
    """f8[4,4]: a camera at (0.5, 0, 0.5) that looks along +y, OpenGL axes, turned about the vertical by `yaw`
    degrees and about its own axis by quarter turns."""
    level = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # x right, y up, z back
    a, b = np.radians(yaw), np.radians(90.0 * quarters)
    about = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    roll = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    pose = np.eye(4)
    pose[:3, :3] = about @ level @ roll
    pose[:3, 3] = 0.5, 0, 0.5
    return pose


def render(pose: np.ndarray, size=(WIDTH, HEIGHT), distortion=None) -> tuple[np.ndarray, np.ndarray]:
    """(rgb u1[H,W,3], depth f8[H,W] in metres) of the wall, at `size` of the same field of view."""
    factor = np.array(size) / (WIDTH, HEIGHT)
    u, v = np.meshgrid((np.arange(size[0]) + 0.5) / factor[0], (np.arange(size[1]) + 0.5) / factor[1])
    seen = np.stack([(u - CENTRE[0]) / FOCAL, (v - CENTRE[1]) / FOCAL], -1)
    plain = seen.copy()
    for _ in range(60):  # of the fixed point: what is seen here is at `plain` without distortion
        plain = seen - (_distorted(plain, **(distortion or {})) - plain)
    ray = np.stack([plain[..., 0], -plain[..., 1], -np.ones_like(u)], -1) @ pose[:3, :3].T
    depth = (2.0 - pose[1, 3]) / ray[..., 1]
    where = (pose[:3, 3] + depth[..., None] * ray - ORIGIN) / SPAN
    rgb = np.stack([where[..., 0], np.full(u.shape, 0.5), where[..., 2]], -1)
    return np.rint(255 * np.clip(rgb, 0, 1)).astype(np.uint8), depth


def _distorted(xy: np.ndarray, k1=0.0, k2=0.0, p1=0.0, p2=0.0) -> np.ndarray:
    x, y = xy[..., 0], xy[..., 1]
    r = x**2 + y**2
    radial = k1 * r + k2 * r**2
    return np.stack(
        [
            x + x * radial + 2 * p1 * x * y + p2 * (r + 2 * x**2),
            y + y * radial + 2 * p2 * x * y + p1 * (r + 2 * y**2),
        ],
        -1,
    )


def wall_of(rgb: np.ndarray) -> np.ndarray:
    """f8[..., 2]: x and z that colours say."""
    return rgb[..., [0, 2]] / 255.0 * SPAN + ORIGIN[[0, 2]]


def write_capture(
    folder: Path, poses, *, size=(WIDTH, HEIGHT), distortion=None, depth_size=None, exif=None, npy=False,
    unit=1.0, steps=1000.0,
) -> Path:  # fmt: skip
    """FOLDER with transforms.json. size: of the stored colour; depth_size: of depth, None = as colour; exif:
    the stored pixels lie turned by this orientation; unit: metres of a unit of the poses; steps: a metre."""
    (folder / "images").mkdir(parents=True)
    (folder / "depth").mkdir()
    frames = []
    for index, pose in enumerate(poses):
        rgb, _ = render(pose, size, distortion)
        _, depth = render(pose, depth_size or size, distortion)
        name = f"images/frame_{index + 1:05d}.png"
        image = Image.fromarray(rgb)
        tags = image.getexif()
        if exif is not None:  # 6: shown turned to the right by a quarter
            image, tags[0x0112] = Image.fromarray(np.rot90(rgb)), exif
        image.save(folder / name, exif=tags)
        stored = f"depth/frame_{index + 1:05d}." + ("npy" if npy else "png")
        if npy:
            np.save(folder / stored, depth.astype(np.float32))
        else:
            Image.fromarray(np.rint(depth * steps).astype(np.uint16)).save(folder / stored)
        matrix = pose.copy()
        matrix[:3, 3] /= unit
        frames.append({"file_path": name, "depth_file_path": stored, "transform_matrix": matrix.tolist()})
    camera = {"camera_model": "OPENCV", "fl_x": FOCAL, "fl_y": FOCAL, "cx": CENTRE[0], "cy": CENTRE[1]}
    content = {**camera, "w": WIDTH, "h": HEIGHT, **(distortion or {}), "frames": frames}
    (folder / "transforms.json").write_text(json.dumps(content))
    return folder


def change(folder: Path, frame: int | None = None, **values) -> None:
    """transforms.json with other values, of one frame or of all; None takes a value away."""
    content = json.loads((folder / "transforms.json").read_text())
    place = content if frame is None else content["frames"][frame]
    place |= values
    for name in [name for name, value in values.items() if value is None]:
        del place[name]
    (folder / "transforms.json").write_text(json.dumps(content))
