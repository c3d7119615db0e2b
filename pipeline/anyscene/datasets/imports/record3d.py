"""A LiDAR recording of Record3D: a video (.r3d, which is a zip file, or unpacked),

    metadata               JSON: K (column by column), w, h, dw, dh, poses, perFrameIntrinsicCoeffs, ...
    rgbd/NUMBER.jpg        colour, numbered like the poses
    rgbd/NUMBER.depth      float32 metres, row by row, compressed by LZFSE
    rgbd/NUMBER.conf       uint8: 0 low, 1 medium, 2 high; compressed too

or its export "EXR + JPG sequence", which has no confidence, itself or in a folder EXR_RGBD:

    metadata.json          the same
    rgb/NUMBER.jpg         colour; some tools make .png of it
    depth/NUMBER.exr       OpenEXR, float32 metres in the channel R

Source: the author's answers in the issues of marek-simonik/record3d: 7 (depth), 33 and 36 (poses: qx, qy, qz,
qw, x, y, z, camera to world), 64 (OpenGL axes), 81 (confidence), 93 (the archive), 27: the world is that of
the first camera, however it was held. So what is up is asked for. 53, 67 and 121: the sequence; where its
files lie says nerfstudio-project/nerfstudio, docs/quickstart/custom_dataset.md. Intrinsics are of w x h
pixels, by ARKit, whose principal point counts from the image's corner; poses are those of the images as they
are stored.
"""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Callable
from functools import partial
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np

from anyscene.arrays import F4, F8
from anyscene.datasets import raw_files, rotations
from anyscene.datasets.imports.archive import above, read_json
from anyscene.datasets.imports.export_options import ExportOptions
from anyscene.datasets.imports.orientation import Capture, oriented
from anyscene.datasets.imports.source_frame import OPENGL, Depth, ExportFile, SourceFrame, framed
from anyscene.datasets.left_out import usable
from anyscene.errors import DataError

VIDEO, SEQUENCE = "rgbd", "EXR_RGBD"
MARKS = (VIDEO, SEQUENCE, "depth/*.exr")
REMEDY = "export the video as .r3d, or as EXR + JPG sequence"
Size = tuple[int, int]
Stored = Callable[[int], tuple[ExportFile, Depth | None]]  # the colour and the depth of a frame


def read(folder: ExportFile, options: ExportOptions) -> Capture:
    """The frames by number, without those whose files or pose are missing. Raises DataError naming the file,
    also where the decoder of its depth is not installed, and where up is not given."""
    options.refuse("scale", "depth_unit", because="Record3D measures metres")
    folder = folder / SEQUENCE if (folder / SEQUENCE).is_dir() else folder
    video = (folder / VIDEO).is_dir()
    source = folder / ("metadata" if video else "metadata.json")
    poses, intrinsics, size, shape = _cameras(read_json(source), source)
    if options.up is None:
        raise DataError(
            f"{source}: does not say what is up, its world is the first camera's; give --up images where it "
            "was held level on the whole, or what is up in it (y where the first image is level)"
        )
    numbers = range(len(poses))
    if video:
        stored = _of_video(folder / VIDEO, numbers, shape, size, options.confidence)
    else:
        stored = _of_sequence(folder)

    def frame(number: int) -> SourceFrame:
        (color, depth), where = stored(number), f"{folder}: frame {number}"
        return framed(f"{number:05d}", color, depth, poses[number], intrinsics[number], size, where)

    source_frames, left_out = usable([(f"{number:05d}", number) for number in numbers], frame)
    return oriented(source_frames, folder, options.up, left_out=left_out)


def _of_video(images: ExportFile, numbers: range, shape: Size | None, size: Size, least: int) -> Stored:
    """The files of frames in rgbd/, whose depth is decoded where any has it."""
    with_depth = any((images / f"{number}.depth").is_file() for number in numbers)
    decoder = _decoder(above(images), "lzfse", "LZFSE") if with_depth else None

    def stored(number: int) -> tuple[ExportFile, Depth | None]:
        color, confidence = images / f"{number}.jpg", images / f"{number}.conf"
        if decoder is None:
            return color, None
        decoded = partial(
            _decoded,
            shape=shape,
            size=size,
            decoder=decoder,
            confidence=confidence if confidence.is_file() else None,
            least=least,
        )
        return color, Depth(images / f"{number}.depth", 1.0, decoded)

    return stored


def _of_sequence(folder: ExportFile) -> Stored:
    """The files of frames in rgb/ and depth/."""
    decoded = partial(_of_exr, decoder=_decoder(folder, "OpenEXR", "OpenEXR"))

    def stored(number: int) -> tuple[ExportFile, Depth | None]:
        colors = [folder / "rgb" / f"{number}{ending}" for ending in raw_files.IMAGES]
        color = next((color for color in colors if color.is_file()), folder / "rgb" / f"{number}.jpg")
        return color, Depth(folder / "depth" / f"{number}.exr", 1.0, decoded)

    return stored


def _cameras(metadata: dict[str, Any], source: ExportFile) -> tuple[F8, F8, Size, Size | None]:
    """(poses f8[N,4,4] in OpenCV axes, NaN where tracking was lost, intrinsics f8[N,3,3] with pixel centres
    on whole numbers, the size of colour, the shape of depth or None where the file does not say it). Raises
    DataError."""
    try:
        stored = np.array(metadata["poses"], np.float64)
        size = int(metadata["w"]), int(metadata["h"])
        shape = (int(metadata["dh"]), int(metadata["dw"])) if {"dw", "dh"} <= metadata.keys() else None
        if stored.ndim != 2 or stored.shape[1] != 7:
            raise ValueError(f"poses of shape {list(stored.shape)}, not N of 7 numbers")
        if len(stored) > 1 and not np.ptp(stored, axis=0).any():
            raise DataError(
                f"{source}: all poses are the same, as in videos of the selfie camera; record by LiDAR"
            )
        poses = np.tile(np.eye(4), (len(stored), 1, 1))
        lost = ~(np.isfinite(stored).all(1) & (np.linalg.norm(stored[:, :4], axis=1) > 0))
        poses[lost] = np.nan
        poses[~lost, :3, :3] = rotations.of_quaternions(stored[~lost, :4])
        poses[~lost, :3, 3] = stored[~lost, 4:]
        intrinsics = np.tile(np.array(metadata["K"], np.float64).reshape(3, 3).T, (len(stored), 1, 1))
        if each := metadata.get("perFrameIntrinsicCoeffs"):
            focal = np.array(each, np.float64).reshape(len(stored), 4)
            intrinsics[:, [0, 1, 0, 1], [0, 1, 2, 2]] = focal
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{source}: lacks or garbles {error}; export it again") from error
    intrinsics[:, :2, 2] -= 0.5
    return poses @ OPENGL, intrinsics, size, shape


def _decoder(folder: ExportFile, module: str, form: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise DataError(
            f"{folder}: its depth is compressed by {form}; pip install {module} (anyscene[record3d]), or "
            "convert it to nerfstudio's form with depth as 16-bit PNG"
        ) from error


def _of_exr(source: ExportFile, *, decoder: Any) -> F4:
    """f4[h,w]: the channel R of an OpenEXR file, or its only one. Raises ValueError."""
    with tempfile.TemporaryDirectory(prefix="anyscene_") as temporary:
        path = source
        if not isinstance(path, Path):  # the library opens files alone
            path = Path(temporary) / source.name
            path.write_bytes(source.read_bytes())
        try:
            with decoder.File(str(path), separate_channels=True) as file:
                channels = {name: channel.pixels for name, channel in file.channels().items()}
        except (RuntimeError, TypeError, ValueError) as error:
            raise ValueError(f"{source.name} is damaged, or not of OpenEXR") from error
    if "R" not in channels and len(channels) != 1:
        raise ValueError(f"its channels are {', '.join(channels)}, without R")
    depth = channels.get("R", next(iter(channels.values())))
    if depth.dtype.kind != "f":
        raise ValueError(f"{depth.dtype}, not metres")
    return np.array(depth, np.float32)


def _decoded(
    source: ExportFile,
    *,
    shape: Size | None,
    size: Size,
    decoder: Any,
    confidence: ExportFile | None,
    least: int,
) -> F4:
    """f4[dh,dw]: the depth in metres, 0 where the confidence of the device is below `least`. Raises
    ValueError where the size is not `shape`, or not in the proportions of the image where `shape` is None."""
    depth = np.frombuffer(_bytes(source, decoder), "<f4")
    height, width = shape or _shape(len(depth), size)
    if len(depth) != height * width:
        raise ValueError(f"{len(depth)} numbers for {width}x{height}")
    if confidence is not None:
        sure = np.frombuffer(_bytes(confidence, decoder), np.uint8)
        if len(sure) != len(depth):
            raise ValueError(f"{len(sure)} values of confidence for {width}x{height}")
        depth = np.where(sure >= least, depth, np.float32(0))
    return depth.reshape(height, width)


def _bytes(source: ExportFile, decoder: Any) -> bytes:
    try:
        return bytes(decoder.decompress(source.read_bytes()))
    except (decoder.error, MemoryError) as error:  # MemoryError where it was cut short
        raise ValueError(f"{source.name} is damaged, or not of LZFSE") from error


def _shape(count: int, size: Size) -> Size:
    """(height, width) of `count` numbers in the proportions of `size` (width, height). Raises ValueError
    where there is none."""
    width = isqrt(count * size[0] // size[1])
    height = count // max(width, 1)
    if width * height != count or width * size[1] != height * size[0]:
        raise ValueError(f"{count} numbers, and the metadata lack dw and dh")
    return height, width
