"""A reconstruction of COLMAP: a dense workspace (image_undistorter), or the folder of a project.

    FOLDER/images/NAME                        the images
    FOLDER/sparse/, or its only sub-folder    cameras, images and points3D, as .bin (preferred) or .txt
    FOLDER/stereo/depth_maps/NAME.geometric.bin   depth, where patch_match_stereo has run

Sources: colmap.github.io, "Output Format"; sensor/models.h for the numbers and parameters of camera models.
The middle of the first pixel is (0.5, 0.5). Poses are world to camera, with OpenCV axes.

The world of a reconstruction is arbitrary, so that a user has to say its unit and what is up. The points
serve only to refuse a scale that no room has.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from anyscene.arrays import F4, F8
from anyscene.datasets import rotations
from anyscene.datasets.imports.export_options import ExportOptions
from anyscene.datasets.imports.orientation import Capture, oriented
from anyscene.datasets.imports.rgbd_writer import PLAUSIBLE
from anyscene.datasets.imports.source_frame import Depth, ExportFile, SourceFrame, framed, named
from anyscene.datasets.left_out import NO_IMAGE, usable
from anyscene.errors import DataError, FrameError
from anyscene.scene import moved

MARKS = ("sparse", "cameras.bin", "cameras.txt")
REMEDY = "give the folder that holds sparse/ and images/"
MODELS = (  # by their number in binary files
    *(
        "SIMPLE_PINHOLE",
        "PINHOLE",
        "SIMPLE_RADIAL",
        "RADIAL",
        "OPENCV",
        "OPENCV_FISHEYE",
        "FULL_OPENCV",
        "FOV",
    ),
    *("SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE", "THIN_PRISM_FISHEYE", "RAD_TAN_THIN_PRISM_FISHEYE"),
    *("SIMPLE_DIVISION", "DIVISION", "SIMPLE_FISHEYE", "FISHEYE", "EUCM", "EQUIRECTANGULAR"),
)
PARAMETERS = {  # of OpenCV's models, some of whose coefficients may be 0
    "SIMPLE_PINHOLE": ("f", "cx", "cy"),
    "PINHOLE": ("fx", "fy", "cx", "cy"),
    "SIMPLE_RADIAL": ("f", "cx", "cy", "k1"),
    "RADIAL": ("f", "cx", "cy", "k1", "k2"),
    "OPENCV": ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2"),
    "OPENCV_FISHEYE": ("fx", "fy", "cx", "cy", "k1", "k2", "k3", "k4"),
}
DISTORTION = ("k1", "k2", "p1", "p2", "k3")
FISHEYE = ("k1", "k2", "k3", "k4", "k5")  # the last is always 0
Item = TypeVar("Item")  # of a file of the model: Lens, RegisteredImage or Point


@dataclass(frozen=True, eq=False)
class Lens:
    """The camera of some images of the reconstruction."""

    intrinsics: F8  # f8[3,3], pixel centres on whole numbers
    width: int  # pixels
    height: int  # pixels
    distortion: tuple[float, float, float, float, float]  # as that of a SourceFrame
    fisheye: bool


@dataclass(frozen=True, eq=False)
class RegisteredImage:
    """An image with its pose."""

    name: str
    camera: int  # id of its lens
    pose: F8  # f8[4,4], camera to world, in the unit of the reconstruction


@dataclass(frozen=True, eq=False)
class Point:
    """A point of the reconstruction."""

    xyz: F8  # f8[3] in the world
    images: tuple[int, ...]  # ids of the images that see it


def read(folder: ExportFile, options: ExportOptions) -> Capture:
    """The images of the reconstruction in the order of their names, without those that are missing or
    damaged, and where there are depth maps without those that have none.

    Raises DataError that names a file of the model which is missing, damaged or of another camera model;
    where scale or up is not given; and where no room has that scale.
    """
    model = _model(folder)
    options.refuse("depth_unit", because="COLMAP's depth is in the unit of its poses")
    if options.scale is None:
        raise DataError(
            f"{model}: COLMAP's unit is arbitrary; give --scale, the metres of a unit, by a length that you "
            "know"
        )
    if options.up is None:
        raise DataError(
            f"{model}: COLMAP's world has no fixed up; give --up images where they were held level, or what "
            "is up in it (-y after colmap model_orientation_aligner)"
        )
    scale, lenses, views = options.scale, lenses_of(model), views_of(model)
    _check_scale(model, views, scale)
    depth_maps = folder / "stereo" / "depth_maps"
    with_depth = any(_depth_path(depth_maps, view).is_file() for view in views.values())

    def frame(view: RegisteredImage) -> SourceFrame:
        color = folder / "images" / view.name
        if not color.is_file():
            raise FrameError(f"{color}: missing; link the images of the reconstruction there", NO_IMAGE)
        if view.camera not in lenses:
            raise DataError(
                f"{model}: {view.name} has camera {view.camera}, which is not there; export it again"
            )
        lens, where = lenses[view.camera], f"{model}: {view.name}"
        size, bent = (lens.width, lens.height), (lens.distortion, lens.fisheye)
        depth = Depth(_depth_path(depth_maps, view), scale, depth_map) if with_depth else None
        return framed(view.name, color, depth, view.pose, lens.intrinsics, size, where, *bent)

    ordered = sorted(views.values(), key=lambda view: view.name)
    source_frames, left_out = usable([(view.name, view) for view in ordered], frame)
    frames = named(source_frames, model)
    capture = oriented(frames, model, options.up, scale, left_out)
    if options.depth_model is None:
        return capture
    places = _seen(model, views)
    ids = zip(frames, source_frames, strict=True)  # the latter have the names of their views
    seen = {frame.id: moved(places[view.id], capture.world) for frame, view in ids if view.id in places}
    return replace(capture, seen=seen)


def lenses_of(model: ExportFile) -> dict[int, Lens]:
    """The cameras of a sparse model, by id. Raises DataError naming the file."""
    return _read(model, "cameras", _cameras_text, _cameras_binary)


def views_of(model: ExportFile) -> dict[int, RegisteredImage]:
    """The images of a sparse model, by id. Raises DataError naming the file."""
    return _read(model, "images", _images_text, _images_binary)


def depth_map(source: ExportFile) -> F4:
    """f4[H,W]: the depth in units of the reconstruction, 0 = no reading. Raises ValueError for a file of
    another form."""
    data = source.read_bytes()
    header = data[:64].split(b"&", 3)
    if len(header) != 4:
        raise ValueError("no header width&height&channels&")
    width, height, channels = (int(value) for value in header[:3])
    offset = sum(len(value) + 1 for value in header[:3])
    if channels != 1 or len(data) != offset + 4 * width * height:
        raise ValueError(f"{len(data) - offset} bytes for {width}x{height}x{channels} numbers")
    return np.frombuffer(data, "<f4", offset=offset).reshape(height, width)


def _depth_path(folder: ExportFile, view: RegisteredImage) -> ExportFile:
    return folder / f"{view.name}.geometric.bin"


def _model(folder: ExportFile) -> ExportFile:
    """The folder of the sparse model. Raises DataError where there is none, or more than one."""
    sparse = folder / "sparse"
    parts = [path for path in sparse.iterdir() if _holds_model(path)] if sparse.is_dir() else []
    found = [path for path in (sparse, folder) if _holds_model(path)][:1] or parts
    if not found:
        raise DataError(f"{sparse}: no cameras.bin or cameras.txt; {REMEDY}")
    if len(found) > 1:
        raise DataError(
            f"{sparse}: {len(found)} models, the reconstruction fell apart; leave only the one that you want"
        )
    return found[0]


def _holds_model(folder: ExportFile) -> bool:
    return any((folder / f"cameras.{kind}").is_file() for kind in ("bin", "txt"))


def _seen(model: ExportFile, views: Mapping[int, RegisteredImage]) -> dict[str, F8]:
    """f8[n,3] by the names of images: the points that each sees, in the world of the reconstruction. Empty
    without points."""
    if not _has_points(model):
        return {}
    seen: dict[str, list[F8]] = {view.name: [] for view in views.values()}
    for point in _read(model, "points3D", _points_text, _points_binary).values():
        for id in set(point.images) & views.keys():
            seen[views[id].name].append(point.xyz)
    return {name: np.array(points).reshape(-1, 3) for name, points in seen.items()}


def _has_points(model: ExportFile) -> bool:
    return any((model / f"points3D.{kind}").is_file() for kind in ("bin", "txt"))


def _check_scale(model: ExportFile, views: Mapping[int, RegisteredImage], scale: float) -> None:
    """Raise DataError where the median distance of points from the cameras that see them is not that of a
    room. Without points nothing is checked."""
    if not _has_points(model):
        return
    points = _read(model, "points3D", _points_text, _points_binary).values()
    seen = [(point.xyz, views[id].pose[:3]) for point in points for id in point.images if id in views]
    if not seen:
        return
    xyz, pose = (np.array(column) for column in zip(*seen, strict=True))
    median = scale * float(np.median(np.einsum("ni,ni->n", xyz - pose[:, :, 3], pose[:, :, 2])))
    if not PLAUSIBLE[0] <= median <= PLAUSIBLE[1]:
        raise DataError(
            f"{model}: its points lie {median:.3g} m before the cameras that see them, which is no room; "
            f"check --scale ({scale:g} m of a unit)"
        )


# ---------------------------------------------------------------------------------------------- the two forms


def _read(
    model: ExportFile,
    name: str,
    text: Callable[[list[str]], Iterator[tuple[int, Item]]],
    binary: Callable[[_Stream], Iterator[tuple[int, Item]]],
) -> dict[int, Item]:
    """What NAME.bin, or else NAME.txt, holds, by id. Raises DataError naming the file."""
    path = model / f"{name}.bin"
    try:
        if path.is_file():
            return dict(binary(_Stream(path.read_bytes())))
        path = model / f"{name}.txt"
        return dict(text(path.read_text(encoding="utf-8-sig").splitlines()))
    except FileNotFoundError as error:
        raise DataError(f"{path}: missing, as is the .bin; export the model again") from error
    except (OSError, ValueError, IndexError, struct.error) as error:
        raise DataError(f"{path}: not as COLMAP writes it ({error}); export the model again") from error
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


class _Stream:
    """Little-endian values, one after the other. Raises struct.error beyond the end."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def values(self, form: str) -> tuple[Any, ...]:
        found = struct.unpack_from(f"<{form}", self._data, self._at)
        self._at += struct.calcsize(f"<{form}")
        return found

    def count(self) -> range:
        (found,) = self.values("Q")
        if found > len(self._data):
            raise ValueError(f"it says that {found:,} follow, and has {len(self._data):,} bytes")
        return range(found)

    def name(self) -> str:
        end = self._data.index(b"\0", self._at)
        found = self._data[self._at : end].decode()
        self._at = end + 1
        return found


def _cameras_text(lines: list[str]) -> Iterator[tuple[int, Lens]]:
    for line in _content(lines):
        id, model, width, height, *values = line.split()
        yield int(id), _lens(model, int(width), int(height), [float(value) for value in values])


def _cameras_binary(data: _Stream) -> Iterator[tuple[int, Lens]]:
    for _ in data.count():
        id, number, width, height = data.values("IiQQ")
        model = MODELS[number] if 0 <= number < len(MODELS) else f"number {number}"
        yield id, _lens(model, width, height, data.values(f"{len(_parameters(model))}d"))


def _images_text(lines: list[str]) -> Iterator[tuple[int, RegisteredImage]]:
    rest = iter(lines)
    for line in rest:
        if line.strip() and not line.startswith("#"):
            id, *values = line.split(maxsplit=9)
            *pose, camera, name = values
            yield int(id), _view([float(value) for value in pose], int(camera), name.strip())
            if len(next(rest, "").split()) % 3:
                raise ValueError(f"no line of points, which may be empty, after image {id}")


def _images_binary(data: _Stream) -> Iterator[tuple[int, RegisteredImage]]:
    for _ in data.count():
        id, *pose, camera = data.values("I7dI")
        name = data.name()
        data.values(f"{24 * len(data.count())}x")  # its points
        yield id, _view(pose, camera, name)


def _points_text(lines: list[str]) -> Iterator[tuple[int, Point]]:
    for line in _content(lines):
        values = line.split()
        yield int(values[0]), Point(np.array(values[1:4], np.float64), tuple(map(int, values[8::2])))


def _points_binary(data: _Stream) -> Iterator[tuple[int, Point]]:
    for _ in data.count():
        id, x, y, z, *_ = data.values("Q3d3Bd")
        track = data.values(f"{2 * len(data.count())}I")
        yield id, Point(np.array([x, y, z]), track[::2])


def _content(lines: list[str]) -> Iterator[str]:
    return (line for line in lines if line.strip() and not line.startswith("#"))


def _parameters(model: str) -> tuple[str, ...]:
    if model not in PARAMETERS:
        raise DataError(
            f"camera model {model} cannot be undistorted here ({', '.join(PARAMETERS)}); run colmap "
            "image_undistorter and import its output"
        )
    return PARAMETERS[model]


def _lens(model: str, width: int, height: int, values: Sequence[float]) -> Lens:
    of = dict(zip(_parameters(model), values, strict=True))
    fx, fy = of.get("fx", of.get("f")), of.get("fy", of.get("f"))
    intrinsics = np.array([[fx, 0, of["cx"] - 0.5], [0, fy, of["cy"] - 0.5], [0, 0, 1]])
    fisheye = model == "OPENCV_FISHEYE"
    a, b, c, d, e = (of.get(name, 0.0) for name in (FISHEYE if fisheye else DISTORTION))
    return Lens(intrinsics, width, height, (a, b, c, d, e), fisheye)


def _view(values: list[float], camera: int, name: str) -> RegisteredImage:
    """values: QW, QX, QY, QZ, TX, TY, TZ, world to camera."""
    w, x, y, z, *translation = values
    pose = np.eye(4)
    pose[:3, :3] = rotations.of_quaternions([x, y, z, w]).T
    pose[:3, 3] = -pose[:3, :3] @ translation
    return RegisteredImage(name, camera, pose)
