"""A raw export of Polycam (developer mode), as a folder or zipped.

    keyframes/corrected_images/TIME.jpg     with corrected_cameras/TIME.json: undistorted, poses optimised,
                                            perhaps without width and height; or
    keyframes/images/TIME.jpg               with cameras/TIME.json, for sessions too long for that
    keyframes/depth/TIME.png                16 bits, millimetres
    keyframes/confidence/TIME.png           8 bits: 0 low, 127 medium, 255 high

Sources: the README of PolyCam/polyform, "Polycam's data format"; nerfstudio-project/nerfstudio, pull request
3725 (width and height). Poses are camera to world, rows t_00..t_23,
in ARKit's axes (x right, y up, z back) and gravity-aligned world, +y up, in metres. Images lie as the sensor
does, whichever way the device was held. The principal point counts from the image's corner.

raw.glb is aligned anew (mesh_info.json) and not taken; the points come from the depth.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from anyscene.arrays import F8
from anyscene.datasets import raw_files
from anyscene.datasets.imports.archive import holds, matching, read_json
from anyscene.datasets.imports.confidence import sure
from anyscene.datasets.imports.export_options import ExportOptions
from anyscene.datasets.imports.orientation import Capture, oriented
from anyscene.datasets.imports.source_frame import (
    OPENGL,
    Depth,
    ExportFile,
    SourceFrame,
    framed,
)
from anyscene.datasets.left_out import BAD_CAMERA, NO_POSE, usable
from anyscene.errors import DataError, FrameError

MARKS = ("keyframes",)
REMEDY = "export the raw data (Polycam's developer mode)"
UP = np.array([0.0, 1.0, 0.0])
MILLIMETRE = 0.001
CONFIDENCE = (0, 127, 255)
DISTORTED = (
    "the session has no corrected_images: poses are not optimised, and the lens's distortion is not taken out"
)


def read(folder: ExportFile, options: ExportOptions) -> Capture:
    """The keyframes in the order of their times, without those whose image or depth is missing or damaged.
    Raises DataError naming the file."""
    options.refuse("scale", "depth_unit", "up", because="Polycam measures metres and millimetres, +y is up")
    frames = folder / "keyframes"
    corrected = holds(frames, "corrected_cameras/*.json") and (frames / "corrected_images").is_dir()
    prefix = "corrected_" if corrected else ""
    cameras, images = frames / f"{prefix}cameras", frames / f"{prefix}images"
    if not (frames / "cameras").is_dir() and not corrected:
        raise DataError(f"{cameras}: missing; {REMEDY}")
    places = {cameras.name, "cameras"}
    found = {file.stem for place in places for file in matching(frames, f"{place}/*.json")}
    ids = sorted(found, key=raw_files.natural)
    with_depth = (frames / "depth").is_dir() and any(_depth(frames, id).is_file() for id in ids)

    def frame(id: str) -> SourceFrame:
        source, depth = cameras / f"{id}.json", None
        if not source.is_file():
            raise FrameError(f"{source}: missing, its pose was not optimised", NO_POSE)
        if with_depth:
            depth = _read_depth(frames, id, options.confidence)
        size, intrinsics, pose = _camera(source, frames / "cameras" / source.name)
        return framed(id, images / f"{id}.jpg", depth, pose, intrinsics, size, source)

    source_frames, left_out = usable([(id, id) for id in ids], frame)
    return oriented(source_frames, frames, UP, 1.0, left_out, () if corrected else (DISTORTED,))


def _camera(source: ExportFile, raw: ExportFile) -> tuple[tuple[int, int], F8, F8]:
    """((width, height), intrinsics f8[3,3], pose f8[4,4], camera to world, OpenCV axes). raw: the camera
    before it was optimised, which has the size where that in `source` has none. Raises FrameError naming the
    file."""
    try:
        values = read_json(source)
        if "width" not in values and raw.is_file():
            values = read_json(raw) | values
        rows = [[float(values[f"t_{row}{column}"]) for column in range(4)] for row in range(3)]
        fx, fy, cx, cy = (float(values[name]) for name in ("fx", "fy", "cx", "cy"))
        size = int(values["width"]), int(values["height"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        message = f"{source}: camera lacks or garbles {error}; export it again"
        raise FrameError(message, BAD_CAMERA) from error
    except DataError as error:
        raise FrameError(str(error), BAD_CAMERA) from error
    intrinsics = np.array([[fx, 0, cx - 0.5], [0, fy, cy - 0.5], [0, 0, 1]])
    return size, intrinsics, np.array([*rows, [0, 0, 0, 1]]) @ OPENGL


def _depth(frames: ExportFile, id: str) -> ExportFile:
    return frames / "depth" / f"{id}.png"


def _read_depth(frames: ExportFile, id: str, least: int) -> Depth:
    confidence = frames / "confidence" / f"{id}.png"
    if not confidence.is_file():
        return Depth(_depth(frames, id), MILLIMETRE)
    read = partial(sure, confidence=confidence, least=CONFIDENCE[least])
    return Depth(_depth(frames, id), MILLIMETRE, read)
