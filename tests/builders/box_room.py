"""A room with a block in it, measured ray by ray: depth maps whose right and wrong readings are known."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from anyscene.errors import DataError
from anyscene.scene import Camera, thumbnail
from tests.builders.wall import View, unbent

ROOM = np.array([4.0, 3.0, 2.5])
BLOCK = np.array([[1.5, 1.1, 0.0], [2.5, 1.9, 0.5]])
WIDTH, HEIGHT, FOCAL = 64, 48, 40.0
OPENGL = np.diag([1.0, -1, -1, 1])


@dataclass(frozen=True, eq=False)
class Measured:
    """A frame in memory."""

    camera: Camera
    depth: np.ndarray | None  # f4[H, W] in metres along the axis
    id: str = ""
    rgb: np.ndarray | None = None  # u1[H, W, 3]; None where its image cannot be read

    def read_depth(self):
        return self.depth

    def thumbnail(self, width):
        if self.rgb is None:
            raise DataError(f"{self.id}: not a readable image")
        return thumbnail(Image.fromarray(self.rgb), width)


def pose_of(k: float, count: int) -> np.ndarray:
    """f8[4, 4], camera to world, OpenCV axes: the k-th of cameras round a circle, which look over its middle
    and down by 15 degrees."""
    turn, pitch = 2 * np.pi * k / count, np.radians(15)
    forward = np.array([-np.cos(turn) * np.cos(pitch), -np.sin(turn) * np.cos(pitch), -np.sin(pitch)])
    right = np.cross(forward, [0, 0, 1])
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], 1)
    pose[:3, 3] = 2 + 0.9 * np.cos(turn), 1.5 + 0.7 * np.sin(turn), 1.6
    return pose


def matrix_of(size=(WIDTH, HEIGHT)) -> np.ndarray:
    """f8[3, 3]: intrinsics, the centre of the first pixel is (0, 0)."""
    width, height = size
    focal = FOCAL * width / WIDTH
    return np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])


def rays(size=(WIDTH, HEIGHT), bends=None) -> np.ndarray:
    """f8[H, W, 3]: from the camera through each pixel to where z is 1; bends: k1..k4 of a fisheye."""
    width, height = size
    matrix = matrix_of(size)
    u, v = np.meshgrid(np.arange(width), np.arange(height))
    seen = np.stack([(u - matrix[0, 2]) / matrix[0, 0], (v - matrix[1, 2]) / matrix[1, 1]], -1)
    if bends is not None:
        seen = unbent(seen, bends)
    return np.concatenate([seen, np.ones((height, width, 1))], -1)


def depth_of(pose: np.ndarray, size=(WIDTH, HEIGHT), bends=None) -> np.ndarray:
    """f8[H, W]: metres along the axis."""
    ray, eye = rays(size, bends) @ pose[:3, :3].T, pose[:3, 3]
    walls = np.where(ray > 0, (ROOM - eye) / ray, (0 - eye) / ray).min(-1)
    low, high = (BLOCK[0] - eye) / ray, (BLOCK[1] - eye) / ray
    near, far = np.minimum(low, high).max(-1), np.maximum(low, high).min(-1)
    return np.where((near < far) & (near > 0), np.minimum(near, walls), walls)


def colours_at(xyz: np.ndarray) -> np.ndarray:
    """u1[..., 3]: the colours of places, by a pattern of waves that is nowhere the same."""
    waves = 2.5 * xyz @ np.array([[1.9, -1.1, 0.7], [0.8, 2.3, -1.7], [-1.3, 0.9, 2.6]]).T
    return np.rint(127.5 + 127.5 * np.sin(waves + [0.3, 1.1, 2.5])).astype(np.uint8)


def image_of(pose: np.ndarray, size=(WIDTH, HEIGHT)) -> np.ndarray:
    """u1[H, W, 3]: what the camera sees of `colours_at`."""
    along = (rays(size) * depth_of(pose, size)[..., None]) @ pose[:3, :3].T
    return colours_at(along + pose[:3, 3])


def frames(count: int = 12, size=(WIDTH, HEIGHT)) -> list[Measured]:
    """The room, read rightly."""
    return frames_at([pose_of(k, count) for k in range(count)], size)


def walk(count: int) -> list[Measured]:
    """The room, read rightly, by someone who walks round it twice, unevenly: no motion of the room takes
    images to those of other frames, as it does on a circle."""
    poses = []
    for k in range(count):
        t = k / count
        pose = pose_of(2 * (k + 0.02 * count * np.sin(10 * np.pi * t)), count)
        pose[:3, 3] += 0.3 * np.array([np.sin(14 * t), np.cos(11 * t), np.sin(9 * t)])
        poses.append(pose)
    return frames_at(poses)


def frames_at(poses, size=(WIDTH, HEIGHT)) -> list[Measured]:
    """The room from these poses, read rightly."""
    return [
        Measured(
            Camera(matrix_of(size), pose, *size),
            depth_of(pose, size).astype(np.float32),
            str(k),
            image_of(pose, size),
        )
        for k, pose in enumerate(poses)
    ]


def posed(measured: list[Measured], change) -> list[Measured]:
    """The frames with other poses: change(pose) of each."""
    return [replace(one, camera=replace(one.camera, pose=change(one.camera.pose))) for one in measured]


def deep(measured: list[Measured], change) -> list[Measured]:
    """The frames with other depth: change(depth) of each."""
    return [replace(one, depth=np.asarray(change(one.depth), np.float32)) for one in measured]


def surface(step: float = 0.1) -> np.ndarray:
    """f4[N, 3]: points on the walls of the room."""
    points = []
    for axis in range(3):
        a, b = (other for other in range(3) if other != axis)
        s, t = np.meshgrid(np.arange(0, ROOM[a] + 1e-9, step), np.arange(0, ROOM[b] + 1e-9, step))
        for side in (0.0, ROOM[axis]):
            wall = np.full((s.size, 3), side)
            wall[:, a], wall[:, b] = s.ravel(), t.ravel()
            points.append(wall)
    return np.concatenate(points).astype(np.float32)


def write_scan(
    folder: Path,
    count: int = 12,
    *,
    pose=lambda one: one,
    steps=lambda metres: 1000 * metres,
    image=lambda rgb: np.full_like(rgb, 90),
):
    """FOLDER in the rgbd form. pose: what is written of a pose; steps: what is written of depth [H, W], None
    for no depth; image: what is written of a colour image [H, W, 3]."""
    for name in ("color", "pose", *(("depth",) if steps else ())):
        (folder / name).mkdir(parents=True)
    np.savetxt(folder / "intrinsics.txt", matrix_of())
    for k, frame in enumerate(frames(count)):
        Image.fromarray(image(frame.rgb)).save(folder / "color" / f"{k}.png")
        if steps:
            stored = np.rint(steps(frame.depth.astype(np.float64))).astype(np.uint16)
            Image.fromarray(stored).save(folder / "depth" / f"{k}.png")
        np.savetxt(folder / "pose" / f"{k}.txt", pose(frame.camera.pose), fmt="%.12g")
    return folder


def write_transforms(
    folder: Path, count: int = 12, *, pose=lambda one: one @ OPENGL, steps=1000.0, bends=None
) -> Path:
    """FOLDER in nerfstudio's form. pose: what is written of a pose with OpenCV axes; bends: k1..k4 of a
    fisheye."""
    for name in ("images", "depth"):
        (folder / name).mkdir(parents=True)
    matrix, listed = matrix_of(), []
    for k, frame in enumerate(frames(count)):
        Image.new("RGB", (WIDTH, HEIGHT), (90, 90, 90)).save(folder / "images" / f"{k}.png")
        depth = depth_of(frame.camera.pose, bends=bends)
        Image.fromarray(np.rint(steps * depth).astype(np.uint16)).save(folder / "depth" / f"{k}.png")
        paths = {"file_path": f"images/{k}.png", "depth_file_path": f"depth/{k}.png"}
        listed.append({**paths, "transform_matrix": pose(frame.camera.pose).tolist()})
    camera = {"fl_x": matrix[0, 0], "fl_y": matrix[1, 1], "cx": matrix[0, 2] + 0.5, "cy": matrix[1, 2] + 0.5}
    if bends is not None:
        camera |= dict(zip(("k1", "k2", "k3", "k4"), bends, strict=True))
    model = "OPENCV" if bends is None else "OPENCV_FISHEYE"
    content = {"camera_model": model, **camera, "w": WIDTH, "h": HEIGHT, "frames": listed}
    (folder / "transforms.json").write_text(json.dumps(content))
    return folder


def views(pose=lambda one: one, depth=lambda metres: metres) -> list[View]:
    """The room for the layouts of data sets. pose, depth: what is written of a pose with OpenCV axes, and of
    depth."""
    (fx, _, cx), (_, fy, cy), _ = matrix_of()
    grey = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    return [
        View(grey, depth(one.depth), pose(one.camera.pose) @ OPENGL, (fx, fy), (cx + 0.5, cy + 0.5))
        for one in frames()
    ]


def along_rays(metres: np.ndarray, size=(WIDTH, HEIGHT)) -> np.ndarray:
    """Depth [H, W] along the axis -> distances along the rays of pixels."""
    return metres * np.linalg.norm(rays(size), axis=-1)


def rotated(steps: np.ndarray) -> np.ndarray:
    """Integers with their 16 bits turned to the left by three."""
    whole = np.rint(steps).astype(np.uint16)
    return (whole << 3 | whole >> 13).astype(np.float64)
