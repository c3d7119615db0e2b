"""One frame of an export, and what turns it into one that the pipeline can use."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from anyscene.arrays import F4, F8, U1, Array
from anyscene.datasets.left_out import NO_DEPTH, NO_IMAGE
from anyscene.datasets.raw_files import UNREADABLE, camera_of, centred
from anyscene.datasets.readings import OPENGL as OPENGL  # of the importers
from anyscene.errors import DataError, FrameError
from anyscene.project import array_files
from anyscene.scene import NO_READING, Camera, DepthForm, in_colour, thumbnail, turned_back

ORIENTATION = 0x0112  # EXIF tag; 1 or none: pixels are stored as they are to be seen
QUARTER = np.array([[0.0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])  # new axes in the old
WIDEST = np.radians(80)  # from the axis of a lens; a pinhole image of more is mostly blur

Value = TypeVar("Value", bound=np.generic)
ExportFile = Path | zipfile.Path  # a file, or one inside an archive


def numbers(source: ExportFile) -> Array:
    """The numbers in an .npy file or an image, as they are stored. Raises one of UNREADABLE."""
    data = io.BytesIO(source.read_bytes())
    if source.suffix == ".npy":
        return array_files.read(data)
    with Image.open(data) as image:
        return np.asarray(image)


@dataclass(frozen=True, eq=False)
class Depth:
    """A depth map in a file."""

    source: ExportFile
    unit: float  # metres in one of its steps
    # Decodes the file into numbers [h, w]; 0, below 0, NaN and whole NO_READING are no reading. Raises one of
    # UNREADABLE.
    read: Callable[[ExportFile], Array] = numbers
    form: DepthForm = "axis"  # what these numbers count

    def holds(self, unit: float) -> bool:
        """Whether its file, if it can be read, is a PNG of steps of `unit` metres along the axis."""
        png = self.read is numbers and self.source.suffix.lower() == ".png"
        return png and self.form == "axis" and self.unit == unit


@dataclass(frozen=True, eq=False)
class SourceFrame:
    """A posed image in files."""

    id: str
    color: ExportFile
    depth: Depth | None
    camera: Camera  # a pinhole of the colour image, pixel centres on whole numbers
    # k1, k2, p1, p2, k3 of OpenCV's perspective model, or k1, k2, k3, k4 and 0 of its fisheye model
    distortion: tuple[float, float, float, float, float] = (0.0,) * 5
    # whether the camera is that of the image as its EXIF orientation turns it, not as its pixels are stored
    exif: bool = False
    fisheye: bool = (
        False  # whether the lens is one; then `camera` holds its intrinsics, not those of a pinhole
    )

    @property
    def distorted(self) -> bool:
        """Whether its images are none of a pinhole camera."""
        return self.fisheye or any(self.distortion)

    @property
    def pinhole(self) -> Camera:
        """The camera of its images once they are straightened. Raises FrameError where a fisheye has none."""
        return pinhole_of(self.camera, self.distortion) if self.fisheye else self.camera

    def straightened(self, image: NDArray[Value], order: int) -> NDArray[Value]:
        """An image [h, w] or [h, w, 3] of its field of view, of any size, as `pinhole` would have taken it.
        order: as for `resampled`."""
        if not self.distorted:
            return image
        size = image.shape[1], image.shape[0]
        shown = fisheye if self.fisheye else perspective
        straight, bent = self.pinhole.resized(*size), self.camera.resized(*size)
        return resampled(image, straight, bent, lambda xy: shown(xy, self.distortion), order)

    def read_depth(self) -> F4 | None:
        """f4[h, w]: metres along the camera's axis, 0 = no reading, straightened and as it is stored, not
        turned upright; None where there is no depth. Raises FrameError naming the file."""
        if self.depth is None:
            return None
        depth = self.straightened(_depth(self.depth, self.camera), order=0)
        if self.depth.form == "ray":
            depth /= self.pinhole.resized(depth.shape[1], depth.shape[0]).ray_lengths()
        return depth

    def thumbnail(self, width: int) -> U1:
        """u1[h, w, 3]: the image, straightened, so many pixels wide, not turned upright. Raises FrameError
        naming the file."""
        try:
            with Image.open(io.BytesIO(self.color.read_bytes())) as image:
                small = thumbnail(image, width, self.exif)
        except UNREADABLE as error:
            raise _unreadable(self.color, error) from error
        return self.straightened(small, order=1)


@dataclass(frozen=True, eq=False)
class Picture:
    """What is written of a frame."""

    rgb: U1  # u1[H, W, 3]
    depth: F4 | None  # f4[h, w] in metres, 0 = no reading
    camera: Camera


def named(source_frames: Sequence[SourceFrame], export: ExportFile) -> list[SourceFrame]:
    """The frames, whose ids are paths relative to the export, with the names of their files as ids; with
    their folders before the names where these are not unique. Raises DataError naming `export` where two
    frames have one file."""
    paths = [PurePosixPath(frame.id).with_suffix("") for frame in source_frames]
    ids = [path.name for path in paths]
    if len(set(ids)) < len(ids):
        ids = [path.as_posix().replace("/", "_") for path in paths]
    if len(set(ids)) < len(ids):
        twice = next(id for id in ids if ids.count(id) > 1)
        raise DataError(f"{export}: two frames are the file {twice}; delete one of them")
    return [replace(frame, id=id) for frame, id in zip(source_frames, ids, strict=True)]


def fitted(camera_size: tuple[int, int], path: ExportFile) -> tuple[tuple[float, float], bool]:
    """How the image stored at `path` relates to the size (width, height) that its intrinsics are for:
    (factors to the size of the image, whether its EXIF orientation turns it to that size).

    Raises FrameError where neither the stored nor the turned image has those proportions, and where EXIF
    turns it upside down, which its size cannot show.
    """
    if min(camera_size) < 1:
        raise FrameError(
            f"{path}: intrinsics of {camera_size[0]}x{camera_size[1]} pixels; export it again",
            "intrinsics of no camera",
        )
    try:
        with path.open("rb") as file, Image.open(file) as image:
            stored, orientation = image.size, image.getexif().get(ORIENTATION, 1)
    except UNREADABLE as error:
        raise _unreadable(path, error) from error
    turned = stored[::-1] if orientation in (5, 6, 7, 8) else stored
    for size, exif in ((stored, False), (turned, True)):
        # An image of half the size may have lost half a pixel by rounding.
        if abs(size[0] * camera_size[1] - size[1] * camera_size[0]) <= max(camera_size) and (
            exif is False or size != stored
        ):
            if orientation in (2, 3, 4) or (orientation != 1 and size[0] == size[1]):
                raise FrameError(
                    f"{path}: EXIF orientation {orientation}, and its size does not say whether the "
                    "intrinsics count with it; turn the pixels (exiftran -ai) or remove the tag "
                    "(exiftool -Orientation=)",
                    "image of an orientation that its size does not tell",
                )
            return (size[0] / camera_size[0], size[1] / camera_size[1]), exif
    raise FrameError(
        f"{path}: {stored[0]}x{stored[1]} pixels, the intrinsics are of {camera_size[0]}x{camera_size[1]}, "
        "turned or cropped; export images and cameras together",
        "image of another shape than its intrinsics",
    )


def _unreadable(path: ExportFile, error: Exception) -> FrameError:
    message = f"{path}: not a readable image ({error}); export it again or delete its frame"
    return FrameError(message, "image not readable")


def load(frame: SourceFrame) -> Picture:
    """The frame without distortion, turned by quarters so that up is up in the image. Raises FrameError
    naming the file."""
    picture = Picture(frame.straightened(_rgb(frame), order=1), frame.read_depth(), frame.pinhole)
    for _ in range(quarters(frame.camera)):
        picture = _turned(picture)
    return picture


def quarters(camera: Camera) -> int:
    """The number of quarter turns to the left (as numpy.rot90) that put the world's +z up in the image; 0 for
    a camera that looks within 30 degrees of straight up or down, where none does."""
    right, up = camera.pose[2, 0], -camera.pose[2, 1]  # of +z, in the image
    if np.hypot(right, up) < 0.5:
        return 0
    return int(np.rint(np.arctan2(right, up) / (np.pi / 2))) % 4


def perspective(xy: F8, distortion: Sequence[float]) -> F8:
    """f8[...,2]: where a lens shows the rays xy f8[...,2], both at distance 1 before it, by k1, k2, p1, p2,
    k3 of OpenCV's model (docs.opencv.org, "Camera Calibration", 2.4.13)."""
    k1, k2, p1, p2, k3 = distortion
    x, y = xy[..., 0], xy[..., 1]
    square = x * x + y * y
    radial = 1 + square * (k1 + square * (k2 + square * k3))
    return np.stack(
        [
            x * radial + 2 * p1 * x * y + p2 * (square + 2 * x * x),
            y * radial + p1 * (square + 2 * y * y) + 2 * p2 * x * y,
        ],
        -1,
    )


def fisheye(xy: F8, distortion: Sequence[float]) -> F8:
    """As `perspective`, by k1, k2, k3, k4 of OpenCV's fisheye model (docs.opencv.org, "Fisheye camera
    model")."""
    length = np.linalg.norm(xy, axis=-1, keepdims=True)
    bent = _bent(np.arctan(length), distortion)
    shown: F8 = xy * np.divide(bent, length, out=np.ones_like(length), where=length > 0)
    return shown


def _bent(angle: F8, distortion: Sequence[float]) -> F8:
    """How far from its centre a fisheye shows rays at these angles to its axis, at distance 1."""
    k1, k2, k3, k4, _ = distortion
    square = angle * angle
    bent: F8 = angle * (1 + square * (k1 + square * (k2 + square * (k3 + square * k4))))
    return bent


def pinhole_of(lens: Camera, distortion: Sequence[float]) -> Camera:
    """The pinhole camera of the least focal length whose images a fisheye fills: they reach no farther than
    the middles of the edges of its own, and not beyond WIDEST. Raises FrameError where its centre lies
    outside of its images."""
    (fx, _, cx), (_, fy, cy), _ = lens.intrinsics
    edges = np.array([cx / fx, (lens.width - 1 - cx) / fx, cy / fy, (lens.height - 1 - cy) / fy])
    if edges.min() <= 0:
        raise FrameError(f"its centre ({cx:g}, {cy:g}) is outside of its images", "intrinsics of no camera")
    angle = np.linspace(0, WIDEST, 4096)
    bent = _bent(angle, distortion)
    rising = int(np.argmax(np.diff(bent, append=-1) <= 0))  # beyond, a polynomial may turn back
    reached = np.interp(edges, bent[: rising + 1], angle[: rising + 1])
    intrinsics = lens.intrinsics.copy()
    intrinsics[[0, 1], [0, 1]] *= (edges / np.tan(reached)).max()
    return replace(lens, intrinsics=intrinsics)


def resampled(
    image: NDArray[Value], camera: Camera, lens: Camera, shown: Callable[[F8], F8], order: int
) -> NDArray[Value]:
    """The image [H,W] or [H,W,3] that the pinhole `camera` would have taken in place of the `lens`, which has
    the same pose, a size of its own and shows rays f8[...,2] at `shown` of them.

    order: 1 samples bilinearly, 0 takes the nearest pixel. What lies outside the image is 0.
    """
    from scipy import ndimage  # only here: commands look at their paths without it

    row, column = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float64)
    (fx, _, cx), (_, fy, cy), _ = camera.intrinsics
    bent = shown(np.stack([(column - cx) / fx, (row - cy) / fy], -1))
    (fx, _, cx), (_, fy, cy), _ = lens.intrinsics
    u, v = fx * bent[..., 0] + cx, fy * bent[..., 1] + cy
    channels = image[..., None] if image.ndim == 2 else image
    sampled = [
        ndimage.map_coordinates(channels[..., c].astype(np.float64), (v, u), order=order, cval=0)
        for c in range(channels.shape[2])
    ]
    result = np.stack(sampled, -1).reshape(image.shape)
    return np.rint(result).astype(image.dtype) if image.dtype.kind == "u" else result.astype(image.dtype)


def _turned(picture: Picture) -> Picture:
    """Turn a picture by a quarter to the left: pixel (u, v) goes to (v, W - 1 - u)."""
    camera = picture.camera
    (fx, _, cx), (_, fy, cy), _ = camera.intrinsics
    intrinsics = np.array([[fy, 0, cy], [0, fx, camera.width - 1 - cx], [0, 0, 1]])
    camera = Camera(intrinsics, camera.pose @ QUARTER, camera.height, camera.width)
    depth = None if picture.depth is None else np.rot90(picture.depth)
    return Picture(np.rot90(picture.rgb), depth, camera)


def _rgb(frame: SourceFrame) -> U1:
    try:
        with Image.open(io.BytesIO(frame.color.read_bytes())) as image:
            seen = ImageOps.exif_transpose(image) if frame.exif else image
            return np.asarray(in_colour(seen))
    except UNREADABLE as error:
        raise _unreadable(frame.color, error) from error


def _depth(stored: Depth, camera: Camera) -> F4:
    source = stored.source
    try:
        raw = stored.read(source)
    except UNREADABLE as error:
        message = f"{source}: not a readable depth map ({error}); export it again"
        raise FrameError(message, "depth not readable") from error
    if raw.ndim == 3 and raw.shape[2] == 1:
        raw = raw[..., 0]
    if raw.ndim != 2 or raw.dtype == np.uint8 or raw.dtype.kind not in "uif":
        raise FrameError(
            f"{source}: {raw.dtype}{list(raw.shape)} is a picture of depth, not depth; "
            "export 16-bit PNG or npy",
            "depth not in steps of 16 bits",
        )
    if stored.form == "rotated":
        raw = turned_back(raw)
    depth = np.maximum(raw.astype(np.float64) * stored.unit, 0).astype(np.float32)
    if raw.dtype.kind in "ui":
        depth[raw == NO_READING] = 0
    else:
        depth[~np.isfinite(depth)] = 0
    height, width = depth.shape
    expected = camera.width, camera.height
    if abs(width * expected[1] - height * expected[0]) > max(expected):
        raise FrameError(
            f"{source}: {width}x{height}, its image {expected[0]}x{expected[1]}: turned or cropped; "
            "register the depth to the image",
            "depth of another shape than its image",
        )
    return depth


def rescaled(camera: Camera, factor: tuple[float, float]) -> Camera:
    """The camera of the image after it was resized by the factors (x, y), with pixel edges on edges."""
    intrinsics = camera.intrinsics.copy()
    intrinsics[0, 0] *= factor[0]
    intrinsics[1, 1] *= factor[1]
    intrinsics[:2, 2] = (intrinsics[:2, 2] + 0.5) * factor - 0.5
    width, height = round(camera.width * factor[0]), round(camera.height * factor[1])
    return replace(camera, intrinsics=intrinsics, width=width, height=height)


def framed(
    id: str,
    color: ExportFile,
    depth: Depth | None,
    pose: F8,
    intrinsics: F8,
    size: tuple[int, int] | None,
    where: object,
    distortion: tuple[float, float, float, float, float] = (0.0,) * 5,
    fisheye: bool = False,
) -> SourceFrame:
    """The frame of an image and a pose f8[4,4], camera to world, OpenCV axes.

    intrinsics: f8[3,3] of images of `size` (width, height), None: of that of the image; pixel centres on
    whole numbers. Raises FrameError, which begins with `where` if the camera is wrong or not the image's.
    """
    for file, why in ((color, NO_IMAGE), (None if depth is None else depth.source, NO_DEPTH)):
        if file is not None and not file.is_file():
            raise FrameError(f"{file}: missing; export it again or delete the frame", why)
    stored = size or image_size(color)
    try:
        factor, exif = fitted(stored, color)
    except FrameError as error:
        raise FrameError(f"{where}: {error}", error.why) from error
    if size is None:
        centred(intrinsics, stored, where, f"image {color.name}")
    camera = camera_of(intrinsics, pose, stored, where)
    return SourceFrame(id, color, depth, rescaled(camera, factor), distortion, exif, fisheye)


def image_size(path: ExportFile) -> tuple[int, int]:
    """The size (width, height) of an image as its pixels are stored. Raises FrameError naming the file."""
    try:
        with path.open("rb") as file, Image.open(file) as image:
            return image.size
    except UNREADABLE as error:
        raise _unreadable(path, error) from error
