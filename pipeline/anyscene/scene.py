"""The nouns: a scene is a point cloud seen by posed frames."""

from __future__ import annotations

import io
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageOps

from anyscene.arrays import B1, F4, F8, I4, I8, U1, U2, Array, Floats
from anyscene.errors import DataError
from anyscene.resizing import Resize

# Where results are given: in the scene's own world (metres, z up), or in that of the user's own files.
World = Literal["scene", "source"]

RIGID_TOLERANCE = 1e-3  # poses are often written with four decimals
# What the values of a depth file count: steps along the camera's axis, or along the ray of their pixel; or
# steps along the axis whose 16 bits are rotated to the left by three (SUN RGB-D).
DepthForm = Literal["axis", "ray", "rotated"]
# The largest value of 16 bits is no measured depth: Kinect and 7-Scenes write it where there is no reading,
# renderers where the distance does not fit. Its bits are the same when they are rotated.
NO_READING = 65535
TWELVE_BITS = 4095  # as many machine-vision and infrared cameras have, stored in 16 bits


def moved(xyz: Floats, step: F8) -> F8:
    """f8[N,3]: the points xyz [N,3] where `step` takes them: f8[4,4], a rotation with a scale and a shift. To
    the bit the same where it is the identity."""
    places: F8 = xyz.astype(np.float64)
    return places if _stays(step) else places @ step[:3, :3].T + step[:3, 3]


def turned(normal: Floats, step: F8) -> F8:
    """f8[N,3]: the directions [N,3] after the rotation in `step`, a f8[4,4] as for `moved`."""
    directions: F8 = normal.astype(np.float64)
    return directions if _stays(step) else directions @ (step[:3, :3] / scale_of(step)).T


def scale_of(step: F8) -> float:
    """By how much `step`, a f8[4,4] as for `moved`, makes lengths longer."""
    return float(np.cbrt(np.linalg.det(step[:3, :3])))


def inverse(step: F8) -> F8:
    """f8[4,4]: the way back of `step`, a f8[4,4] as for `moved`. A shift of millions takes no digits from the
    rotation, because the two are inverted apart."""
    back = np.eye(4)
    back[:3, :3] = np.linalg.inv(step[:3, :3])
    back[:3, 3] = -back[:3, :3] @ step[:3, 3]
    return back


def _stays(step: F8) -> bool:
    return np.array_equal(step, np.eye(4))


def _not_rigid(pose: F8, error: float) -> str:
    """Why f8[4, 4] is no pose, by the mistakes that are made with them, and what to do."""
    rotation, to_give = pose[:3, :3], "give camera-to-world [R t; 0 0 0 1] with R a rotation"
    if np.abs(pose[:3, 3]).max() < 1e-6 < np.abs(pose[3, :3]).max():
        return "has its translation in the last row: it is transposed; write its transpose"
    scale = float(np.cbrt(abs(np.linalg.det(rotation))))
    if np.abs(pose[3] - [0, 0, 0, 1]).max() > 1e-6 and scale > 0:
        row = ", ".join(f"{value:g}" for value in pose[3])
        return f"ends in the row {row}, not 0, 0, 0, 1, so that it is not rigid: {to_give}"
    unscaled = rotation / max(scale, 1e-12)
    if error > RIGID_TOLERANCE and np.abs(unscaled.T @ unscaled - np.eye(3)).max() <= RIGID_TOLERANCE:
        return (
            f"is scaled by {scale:.4g}, not rigid: divide its 3x3 rotation by that, and keep the translation"
        )
    if error <= RIGID_TOLERANCE:
        return f"mirrors, as axes of a left-handed world do, and is not rigid: {to_give}"
    return f"is singular or not rigid (rotation is off by {error:.2g}): {to_give}"


@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole camera: OpenCV axes (x right, y down, z forward), metres.

    Raises DataError where its matrices are not finite, the focal lengths not positive, or the pose not rigid.
    """

    intrinsics: F8  # f8[3,3], pixels; the centre of the first pixel is (0, 0)
    pose: F8  # f8[4,4], camera to world, metres
    width: int  # of its images, pixels
    height: int  # pixels

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
            raise DataError(f"camera pose {_not_rigid(pose, error)}")
        intrinsics.flags.writeable = pose.flags.writeable = False
        object.__setattr__(self, "intrinsics", intrinsics)
        object.__setattr__(self, "pose", pose)

    def moved(self, step: F8) -> Camera:
        """The camera in another world, to which `step` takes places: f8[4,4], a rotation with a scale and a
        shift."""
        if _stays(step):
            return self
        pose = step @ self.pose
        pose[:3, :3] /= scale_of(step)
        return replace(self, pose=pose)

    def looks_at(self, xyz: Floats) -> B1:
        """b1[N]: whether each point lies in front of the camera and inside its image, occluded or not.

        xyz: f4|f8[N, 3] in the world, metres. The pixel of a point is rounded, halves to even.
        """
        x, y, z = np.linalg.inv(self.pose)[:3] @ np.vstack([xyz.T, np.ones(len(xyz))])
        with np.errstate(divide="ignore", invalid="ignore"):  # for points in the camera's plane
            u = np.rint(x * self.intrinsics[0, 0] / z + self.intrinsics[0, 2])
            v = np.rint(y * self.intrinsics[1, 1] / z + self.intrinsics[1, 2])
        inside: B1 = (z > 0) & (u >= 0) & (u < self.width) & (v >= 0) & (v < self.height)
        return inside

    def resized(self, width: int, height: int) -> Camera:
        """The camera of the image after it was resized to `width` x `height` pixels.

        As in ScanNet's tools the centres of the corner pixels stay in the corners: fx' = fx W'/W and
        cx' = cx (W'-1)/(W-1), and the same for y.

        >>> intrinsics = np.array([[500, 0, 319.5], [0, 500, 239.5], [0, 0, 1]])
        >>> camera = anyscene.Camera(intrinsics, np.eye(4), width=640, height=480)
        >>> camera.resized(320, 240).intrinsics.tolist()
        [[250.0, 0.0, 159.5], [0.0, 250.0, 119.5], [0.0, 0.0, 1.0]]
        """
        intrinsics = self.intrinsics.copy()
        intrinsics[0, :2] *= width / self.width
        intrinsics[1, 1] *= height / self.height
        intrinsics[0, 2] *= (width - 1) / max(self.width - 1, 1)
        intrinsics[1, 2] *= (height - 1) / max(self.height - 1, 1)
        return replace(self, intrinsics=intrinsics, width=width, height=height)

    def ray_lengths(self) -> F4:
        """f4[H, W]: for each pixel the distance from the camera of what lies 1 m along its axis."""
        x = (np.arange(self.width) - self.intrinsics[0, 2]) / self.intrinsics[0, 0]
        y = (np.arange(self.height) - self.intrinsics[1, 2]) / self.intrinsics[1, 1]
        lengths: F4 = np.sqrt(1 + x**2 + y[:, None] ** 2).astype(np.float32)
        return lengths


@dataclass(frozen=True)
class Part:
    """An image inside a file that holds many (ScanNet's .sens): `size` bytes from `offset` on.

    A byte range rather than the index of a frame: whoever reads it needs one seek, neither the reader of the
    data set nor the headers of the frames before. zlib_ushort: (width, height) where the bytes are not an
    image file but zlib-compressed rows of little-endian u2.
    """

    path: Path
    offset: int
    size: int
    zlib_ushort: tuple[int, int] | None = None

    @property
    def parent(self) -> Path:
        """The file that holds it, as the parent of an image file is its folder."""
        return self.path

    def __str__(self) -> str:
        return f"{self.path}: bytes {self.offset} to {self.offset + self.size}"

    def open(self) -> Image.Image:
        """Open the image. Raises OSError or ValueError where the bytes are not an image."""
        with self.path.open("rb") as file:
            file.seek(self.offset)
            data = file.read(self.size)
        if self.zlib_ushort is None:
            return Image.open(io.BytesIO(data))
        width, height = self.zlib_ushort
        expected, stream = 2 * width * height, zlib.decompressobj()
        try:
            pixels = stream.decompress(data, expected + 1)  # bounded: damaged bytes may unpack to gigabytes
        except zlib.error as error:
            raise ValueError(str(error)) from error
        if len(pixels) != expected or not stream.eof:
            raise ValueError(f"{len(pixels)} bytes or more for {width}x{height} pixels of 2")
        return Image.frombytes("I;16", (width, height), pixels)


ImageLocation = Path | Part


@dataclass(frozen=True, eq=False)
class Frame:
    """One posed image and the depth registered to it."""

    id: str  # the name of its image
    color: ImageLocation
    depth: ImageLocation | None  # an image of integers; None where the scan has no depth
    depth_scale: float  # value / depth_scale = metres
    camera: Camera  # of the colour image
    depth_form: DepthForm = "axis"  # what the values of its file count

    def read_color(self, size: tuple[int, int] | None = None, resize: Resize = "antialiased") -> U1:
        """u1[H,W,3]: the colour image, resized to `size` (width, height) where that is not None.

        Raises DataError naming the file where it cannot be read."""
        try:
            with _open(self.color) as image:
                image = in_colour(image)
                if size is not None and image.size != tuple(size):
                    if resize != "antialiased":
                        return resized(np.asarray(image), size, resize)
                    image = image.resize(size, Image.Resampling.BILINEAR)
                return np.asarray(image)
        except (OSError, SyntaxError, ValueError) as error:
            raise DataError(f"{self.color}: not a readable image ({error}); {_remedy(self.color)}") from error

    def thumbnail(self, width: int) -> U1:
        """u1[h,w,3]: the colour image, so many pixels wide, which takes a fraction of the time of
        `read_color` where a JPEG is larger. Raises DataError naming the file where it cannot be read."""
        try:
            with _open(self.color) as image:
                return thumbnail(image, width)
        except (OSError, SyntaxError, ValueError) as error:
            raise DataError(f"{self.color}: not a readable image ({error}); {_remedy(self.color)}") from error

    def read_depth(self, size: tuple[int, int] | None = None, resize: Resize = "antialiased") -> F4 | None:
        """f4[H,W]: the depth in metres along the camera's axis, 0 = no reading; None where the scan has no
        depth. A value of NO_READING is none. It is resized to `size` (width, height) where that is not None;
        values are never mixed.

        Raises DataError naming the file where it cannot be read, or has several channels."""
        if self.depth is None:
            return None
        try:
            with _open(self.depth) as image:
                if size is not None and image.size != tuple(size) and resize != "nearest":
                    image = image.resize(size, Image.Resampling.NEAREST)
                depth = np.asarray(image)
        except (OSError, SyntaxError, ValueError) as error:
            raise DataError(
                f"{self.depth}: not a readable depth image ({error}); {_remedy(self.depth)}"
            ) from error
        if depth.ndim != 2:
            raise DataError(f"{self.depth}: depth must have one channel, not shape {depth.shape}")
        if size is not None and resize == "nearest":
            depth = resized(depth, size, resize)
        if self.depth_form == "rotated":
            try:
                depth = turned_back(depth)
            except ValueError as error:
                raise DataError(f"{self.depth}: {error}; correct depth_form") from error
        metres = (depth / np.float32(self.depth_scale)).astype(np.float32)
        metres[depth == NO_READING] = 0
        if self.depth_form == "ray":
            metres /= self.camera.resized(depth.shape[1], depth.shape[0]).ray_lengths()
        return metres

    def moved(self, step: F8) -> Frame:
        """The frame in another world, as `Camera.moved`."""
        return replace(self, camera=self.camera.moved(step))

    def to_attributes(self, root: Path) -> dict[str, Any]:
        """The frame as JSON-like values for a store, with paths relative to `root`, the folder of the
        scans."""
        return {
            "id": self.id,
            "color": _to_attribute(self.color, root),
            "depth": None if self.depth is None else _to_attribute(self.depth, root),
            "depth_scale": self.depth_scale,
            **({} if self.depth_form == "axis" else {"depth_form": self.depth_form}),
            "pose": self.camera.pose.tolist(),
            "intrinsics": self.camera.intrinsics.tolist(),
            "size": [self.camera.width, self.camera.height],
        }

    @classmethod
    def from_attributes(cls, record: Mapping[str, Any], root: Path) -> Frame:
        """The frame that `to_attributes` gave `record` of; `root` is where the scans are now."""
        camera = Camera(np.array(record["intrinsics"]), np.array(record["pose"]), *record["size"])
        depth = None if record["depth"] is None else _from_attribute(record["depth"], Path(root))
        color = _from_attribute(record["color"], Path(root))
        form = record.get("depth_form", "axis")
        return cls(record["id"], color, depth, record["depth_scale"], camera, form)


def resized(image: Array, size: tuple[int, int], resize: Literal["nearest", "bilinear"]) -> Array:
    """[H, W, ...]: an image [h, w, ...] of integers, resized to `size` (W, H) as OpenCV does; with "bilinear"
    it is [h, w, C].

    nearest: pixel (u, v) is that at (floor(u w / W), floor(v h / H)). bilinear: it is mixed of the four
    pixels around ((u + .5) w / W - .5, (v + .5) h / H - .5), halves rounded up; OpenCV's weights have eleven
    bits, so that its values may differ by 1, but not at half the size.

    >>> from anyscene.scene import resized
    >>> row = np.arange(8, dtype=np.uint8)[None, :, None]
    >>> resized(row, (2, 1), "nearest").tolist(), resized(row, (2, 1), "bilinear").tolist()
    ([[[0], [4]]], [[[2], [6]]])
    """
    (height, width), (h, w) = size[::-1], image.shape[:2]
    if resize == "nearest":
        picked: Array = image[(np.arange(height) * h // height)[:, None], np.arange(width) * w // width]
        return picked
    above, below, down = _around(h, height)
    left, right, along = _around(w, width)
    pixels = image.astype(np.float32)
    rows = pixels[above] * (1 - down)[:, None, None] + pixels[below] * down[:, None, None]
    mixed = rows[:, left] * (1 - along)[:, None] + rows[:, right] * along[:, None]
    rounded: Array = np.floor(mixed + 0.5).astype(image.dtype)
    return rounded


def _around(pixels: int, count: int) -> tuple[I8, I8, F4]:
    """(the pixel before, the pixel after, the share of the latter) of each of `count` places across `pixels`
    pixels."""
    at = np.clip((np.arange(count) + 0.5) * pixels / count - 0.5, 0, pixels - 1)
    first = at.astype(np.int64)
    return first, np.minimum(first + 1, pixels - 1), (at - first).astype(np.float32)


def turned_back(steps: Array) -> U2:
    """u2[...]: integers whose 16 bits were rotated to the left by three, as they were before. Raises
    ValueError for those of more bits."""
    if steps.size and not 0 <= steps.min() <= steps.max() <= np.iinfo(np.uint16).max:
        raise ValueError(f"{steps.min()} to {steps.max()} are no 16 bits that were rotated")
    bits = steps.astype(np.uint16)
    return (bits >> 3 | bits << 13).astype(np.uint16)


def thumbnail(image: Image.Image, width: int, exif: bool = False) -> U1:
    """u1[h, w, 3]: the image, so many pixels wide, turned as its EXIF orientation says where `exif` asks for
    it. A JPEG is decoded no finer than that needs. Raises what reading an image raises."""
    image.draft("RGB", (width, width if exif else 1))
    turned = ImageOps.exif_transpose(image) if exif else image
    size = width, max(1, round(width * turned.height / turned.width))
    return np.asarray(in_colour(turned).resize(size, Image.Resampling.BILINEAR))


def in_colour(image: Image.Image) -> Image.Image:
    """The image with three channels of 8 bits. Grey of 16 bits keeps its upper byte, or the upper eight of
    twelve bits where none of its pixels has more; Pillow makes all above 255 white. Raises ValueError where
    pixels are floating-point numbers, whose range is not known."""
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers")
    if image.mode.startswith("I"):
        steps = np.asarray(image)
        more = 8 if steps.max(initial=0) > TWELVE_BITS else 4
        image = Image.fromarray((steps >> more).clip(0, 255).astype(np.uint8))
    return image.convert("RGB")


def _open(source: ImageLocation) -> Image.Image:
    return source.open() if isinstance(source, Part) else Image.open(source)


def _remedy(source: ImageLocation) -> str:
    if isinstance(source, Part):
        return "download the file again; if it was replaced, run scenes again"
    return "export the frame again or leave it out"


def _to_attribute(source: ImageLocation, root: Path) -> str | dict[str, Any]:
    if isinstance(source, Path):
        return source.relative_to(root).as_posix()
    record = {"path": source.path.relative_to(root).as_posix(), "offset": source.offset, "size": source.size}
    return record if source.zlib_ushort is None else record | {"zlib_ushort": list(source.zlib_ushort)}


def _from_attribute(value: str | dict[str, Any], root: Path) -> ImageLocation:
    if isinstance(value, str):
        return root / value
    shape = value.get("zlib_ushort")
    return Part(root / value["path"], value["offset"], value["size"], None if shape is None else tuple(shape))


@dataclass(frozen=True)
class LeftOut:
    """A frame of a scan that is not taken."""

    id: str
    why: str  # in a few words, the same for all frames with the same fault


@dataclass(frozen=True, eq=False)
class Scene:
    """A point cloud with the frames that saw it."""

    id: str
    xyz: F4  # f4[N,3], metres, z up
    rgb: U1  # u1[N,3]
    normal: F4  # f4[N,3], of length 1; 0 where a vertex has no face
    face: I4  # i4[F,3], indices of points; F is 0 without a mesh
    frames: tuple[Frame, ...]
    split: str  # "train", "val" or "test"
    dataset: str  # its name
    lost: tuple[LeftOut, ...] = ()  # frames that the scan has and the scene has not
    # f8[4,4], from here to the world of the user's own files, whose unit may be another and whose coordinates
    # may be those of a map
    world: F8 = field(default_factory=lambda: np.eye(4))
    remarks: tuple[str, ...] = ()  # what its reader did that a user should know
    rgb_of_frames: bool = False  # whether colours were taken from the images, because its file has none

    def xyz_in(self, world: World) -> F4 | F8:
        """The points: f4[N,3] of the scene, or f8[N,3] in the world of the user's own files."""
        return self.xyz if world == "scene" else moved(self.xyz, self.world)

    def moved(self, step: F8) -> Scene:
        """The scene where `step` takes it: f8[4,4], a rotation with a scale and a shift. `world` is the way
        back from there."""
        if _stays(step):
            return self
        return replace(
            self,
            xyz=moved(self.xyz, step).astype(np.float32),
            normal=turned(self.normal, step).astype(np.float32),
            frames=tuple(frame.moved(step) for frame in self.frames),
            world=self.world @ inverse(step),
        )
