"""The nouns: a scene is a point cloud seen by posed frames."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.errors import DataError

RIGID_TOLERANCE = 1e-3  # poses are often written with four decimals


@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole camera: OpenCV axes (x right, y down, z forward), metres.

    intrinsics: f8[3,3] of an image of width x height pixels; pose: f8[4,4], camera to world.
    Raises DataError where they are not finite, the focal lengths not positive, or the pose not rigid.
    """

    intrinsics: np.ndarray
    pose: np.ndarray
    width: int
    height: int

    def __post_init__(self) -> None:
        intrinsics = np.array(self.intrinsics, dtype=np.float64)
        pose = np.array(self.pose, dtype=np.float64)
        if intrinsics.shape != (3, 3) or pose.shape != (4, 4):
            raise DataError(
                f"camera needs intrinsics [3,3] and pose [4,4], not {intrinsics.shape} and {pose.shape}"
            )
        if not np.isfinite(intrinsics).all():
            raise DataError("camera intrinsics contain NaN or infinity")
        if not np.isfinite(pose).all():
            raise DataError("camera pose contains NaN or infinity; leave the frame out if tracking was lost")
        if intrinsics[0, 0] <= 0 or intrinsics[1, 1] <= 0:
            raise DataError(
                f"focal lengths must be positive, not {intrinsics[0, 0]:g} and {intrinsics[1, 1]:g}"
            )
        if self.width < 1 or self.height < 1:
            raise DataError(f"image size must be positive, not {self.width}x{self.height}")
        rotation = pose[:3, :3]
        error = np.abs(rotation.T @ rotation - np.eye(3)).max()
        if (
            error > RIGID_TOLERANCE
            or np.linalg.det(rotation) < 0
            or np.abs(pose[3] - [0, 0, 0, 1]).max() > 1e-6
        ):
            raise DataError(
                f"camera pose is singular or not rigid (rotation is off by {error:.2g}): "
                "give camera-to-world [R t; 0 0 0 1] with R a rotation"
            )
        intrinsics.flags.writeable = pose.flags.writeable = False
        object.__setattr__(self, "intrinsics", intrinsics)
        object.__setattr__(self, "pose", pose)

    def resized(self, width: int, height: int) -> Camera:
        """The camera of the image resized to width x height, pixel centres on corners as in ScanNet's tools:
        fx' = fx W'/W, cx' = cx (W'-1)/(W-1), the same for y."""
        intrinsics = self.intrinsics.copy()
        intrinsics[0, :2] *= width / self.width
        intrinsics[1, 1] *= height / self.height
        intrinsics[0, 2] *= (width - 1) / max(self.width - 1, 1)
        intrinsics[1, 2] *= (height - 1) / max(self.height - 1, 1)
        return replace(self, intrinsics=intrinsics, width=width, height=height)


@dataclass(frozen=True, eq=False)
class Frame:
    """One posed image and the depth registered to it, stored as integers: value / depth_scale = metres."""

    id: str
    color: Path
    depth: Path | None
    depth_scale: float
    camera: Camera

    def read_color(self, size: tuple[int, int] | None = None) -> np.ndarray:
        """u1[H,W,3]; `size` (width, height) resizes bilinearly. Raises DataError naming the file."""
        try:
            with Image.open(self.color) as image:
                image = image.convert("RGB")
                if size is not None and image.size != tuple(size):
                    image = image.resize(size, Image.Resampling.BILINEAR)
                return np.asarray(image)
        except (OSError, SyntaxError, ValueError) as error:
            raise DataError(
                f"{self.color}: not a readable image ({error}); export the frame again or leave it out"
            ) from error

    def read_depth(self, size: tuple[int, int] | None = None) -> np.ndarray | None:
        """f4[H,W] in metres, 0 = no reading, or None where the scan has no depth; `size` (width, height)
        resizes by nearest sample. Raises DataError naming the file."""
        if self.depth is None:
            return None
        try:
            with Image.open(self.depth) as image:
                if size is not None and image.size != tuple(size):
                    image = image.resize(size, Image.Resampling.NEAREST)
                depth = np.asarray(image)
        except (OSError, SyntaxError, ValueError) as error:
            raise DataError(
                f"{self.depth}: not a readable depth image ({error}); export the frame again or leave it out"
            ) from error
        if depth.ndim != 2:
            raise DataError(f"{self.depth}: depth must have one channel, not shape {depth.shape}")
        return (depth / np.float32(self.depth_scale)).astype(np.float32)

    def to_attributes(self, root: Path) -> dict:
        """What a store keeps of the frame, paths relative to the dataset's root."""
        return {
            "id": self.id,
            "color": self.color.relative_to(root).as_posix(),
            "depth": None if self.depth is None else self.depth.relative_to(root).as_posix(),
            "depth_scale": self.depth_scale,
            "pose": self.camera.pose.tolist(),
            "intrinsics": self.camera.intrinsics.tolist(),
            "size": [self.camera.width, self.camera.height],
        }

    @classmethod
    def from_attributes(cls, record: dict, root: Path) -> Frame:
        """The inverse of `to_attributes`."""
        camera = Camera(np.array(record["intrinsics"]), np.array(record["pose"]), *record["size"])
        depth = None if record["depth"] is None else Path(root) / record["depth"]
        return cls(record["id"], Path(root) / record["color"], depth, record["depth_scale"], camera)


@dataclass(frozen=True, eq=False)
class Scene:
    """A point cloud in metres, z up, with the frames that saw it. `face` may be empty."""

    id: str
    xyz: np.ndarray  # f4[N,3]
    rgb: np.ndarray  # u1[N,3]
    normal: np.ndarray  # f4[N,3]
    face: np.ndarray  # i4[F,3]
    frames: tuple[Frame, ...]
    split: str  # "train" or "val"
    dataset: str
