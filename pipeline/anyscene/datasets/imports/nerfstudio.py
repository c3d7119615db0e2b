"""A capture in nerfstudio's form (Polycam, Record3D and others by way of ns-process-data; instant-ngp's too).

    FOLDER/transforms.json    intrinsics of all frames, or of each, and a camera-to-world matrix of each;
                              without w and h they are of images of the size that is stored
    FOLDER/file_path          its image, and FOLDER/depth_file_path its depth, where there is any; some tools
                              write them without ending, or with backslashes; instant-ngp's is depth_path

Source: docs.nerf.studio, "Data conventions". Cameras have OpenGL axes (x right, y up, z back), the world's z
is up, and the middle of the first pixel is (0.5, 0.5): 0.5 less here, where it is (0, 0).

Two things the file does not say, and are asked for: the length of its unit (a capture that went through
COLMAP has any), and the unit of its depth, but for instant-ngp's integer_depth_scale, which is one step in
the unit of the poses (NVlabs/instant-ngp, issues 939 and 1008). Up is z unless another is given:
ns-process-data keeps the world of what it converts, which is z up of Polycam, but not of Record3D and COLMAP.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from anyscene.arrays import F8
from anyscene.datasets import raw_files
from anyscene.datasets.imports.export_options import ExportOptions
from anyscene.datasets.imports.orientation import Capture, oriented
from anyscene.datasets.imports.source_frame import (
    Depth,
    ExportFile,
    SourceFrame,
    framed,
    image_size,
    named,
)
from anyscene.datasets.left_out import BAD_CAMERA, NO_DEPTH, NO_IMAGE, usable
from anyscene.datasets.readings import Reading
from anyscene.errors import DataError, FrameError

MARKS = ("transforms.json",)
REMEDY = "give the folder that ns-process-data wrote"
PERSPECTIVE = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE")
DISTORTION = ("k1", "k2", "p1", "p2", "k3")
FISHEYE = "OPENCV_FISHEYE"
ANOTHER = "lens of another model"
DEPTHS = ("depth_file_path", "depth_path")  # nerfstudio's name, and instant-ngp's
STEP = "integer_depth_scale"
UP = np.array([0.0, 0.0, 1.0])
SCALE = (
    "how long its unit is; give --scale 1 where a device measured it (Polycam, Record3D, ARKit), or the "
    "metres of a unit, by a length that you know (COLMAP)"
)
DEPTH_UNIT = (
    "the unit of its depth; give --depth-unit mm (nerfstudio's default), m, or the metres of one step"
)


def read(folder: ExportFile, options: ExportOptions) -> Capture:
    """The frames in the order of the file, without those whose files are missing, or whose camera is garbled
    or of another kind. Raises DataError that names the file, and where the scale or the unit of depth is not
    given."""
    path = folder / MARKS[0]
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        frames = content["frames"]
    except FileNotFoundError as error:
        raise DataError(f"{path}: missing; {REMEDY}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not a nerfstudio capture ({error!r}); export it again") from error
    if not isinstance(frames, list) or not frames:
        raise DataError(f"{path}: no frames; export it again")
    objects = [frame for frame in frames if isinstance(frame, dict)]
    unsaid = [SCALE] if options.scale is None else []
    depths = any(name in frame for name in DEPTHS for frame in objects)
    if depths and options.depth_unit is None and STEP not in content:
        unsaid.append(DEPTH_UNIT)
    if unsaid:  # all at once, so that nobody is asked twice
        raise DataError(f"{path}: does not say {'; nor '.join(unsaid)}")
    assert options.scale is not None
    unit = options.depth_unit or _step(content, options.scale, path)
    reading = options.reading(unit or 0.001, axes="opengl")
    source_frames, left_out = usable(
        [(_id(frame, number), (frame, f"{path}: frame {number}")) for number, frame in enumerate(frames)],
        lambda frame: _frame(folder, content, *frame, unit, reading),
    )
    up, said = (UP, False) if options.up is None else (options.up, True)
    return oriented(named(source_frames, path), path, up, reading, left_out, sure=said)


def _step(content: dict[str, Any], scale: float, path: ExportFile) -> float | None:
    """Metres in a step of depth, as instant-ngp says it; None where the file does not. Raises DataError."""
    if STEP not in content:
        return None
    step = content[STEP]
    if isinstance(step, bool) or not isinstance(step, (int, float)) or not 0 < step < 1e9:
        raise DataError(f"{path}: {STEP} is {step!r}, no length; correct it, or give --depth-unit")
    return step * scale


def _id(frame: object, number: int) -> str:
    """What a summary calls a frame: its image, or where it names none its number."""
    name = frame.get("file_path") if isinstance(frame, dict) else None
    return name if isinstance(name, str) else str(number)


def _frame(
    folder: ExportFile,
    shared: dict[str, Any],
    own: object,
    where: str,
    depth_unit: float | None,
    reading: Reading,
) -> SourceFrame:
    if not isinstance(own, dict):
        raise FrameError(f"{where}: not an object; export it again", BAD_CAMERA)
    values = {**shared, **own}
    color = _file(folder, values.get("file_path"), where, NO_IMAGE)
    depth = None
    if (file := next((values[name] for name in DEPTHS if values.get(name) is not None), None)) is not None:
        assert depth_unit is not None  # `read` has asked for it
        depth = Depth(_file(folder, file, where, NO_DEPTH), depth_unit, form=reading.depth_form)
    try:
        size = (int(values["w"]), int(values["h"])) if {"w", "h"} <= values.keys() else None
        pose = reading.pose(np.array(values["transform_matrix"], np.float64))
        intrinsics = _intrinsics(values, size or image_size(color))
        distortion, fisheye = _distortion(values, where)
    except (KeyError, TypeError, ValueError, IndexError, ArithmeticError) as error:
        raise FrameError(f"{where}: camera lacks or garbles {error}; export it again", BAD_CAMERA) from error
    id = str(color).removeprefix(str(folder)).lstrip("/")
    return framed(id, color, depth, pose, intrinsics, size, where, distortion, fisheye)


def _intrinsics(values: dict[str, Any], size: tuple[int, int]) -> F8:
    """f8[3,3] of images of `size` (width, height), with pixel centres on whole numbers."""
    width, height = size
    if "fl_x" in values:
        fx = float(values["fl_x"])
        fy = float(values.get("fl_y", fx))
    else:  # instant-ngp
        fx = width / 2 / math.tan(float(values["camera_angle_x"]) / 2)
        fy = height / 2 / math.tan(float(values["camera_angle_y"]) / 2) if "camera_angle_y" in values else fx
    cx, cy = float(values.get("cx", width / 2)), float(values.get("cy", height / 2))
    return np.array([[fx, 0, cx - 0.5], [0, fy, cy - 0.5], [0, 0, 1]])


def _distortion(values: dict[str, Any], where: str) -> tuple[tuple[float, float, float, float, float], bool]:
    """(the distortion of a SourceFrame, whether it is of a fisheye). Raises FrameError."""
    model = values.get("camera_model", "OPENCV")
    coefficients = {name: float(values.get(name, 0)) for name in (*DISTORTION, "k4", "k5", "k6")}
    if model == FISHEYE:
        k1, k2, k3, k4 = (coefficients[name] for name in ("k1", "k2", "k3", "k4"))
        return (k1, k2, k3, k4, 0.0), True
    if model not in PERSPECTIVE or values.get("is_fisheye"):
        raise FrameError(
            f"{where}: camera model {model} cannot be undistorted here; run colmap image_undistorter", ANOTHER
        )
    unknown = [name for name in ("k4", "k5", "k6") if coefficients[name]]
    if unknown:
        raise FrameError(
            f"{where}: {unknown[0]} of {model} is not supported; run colmap image_undistorter", ANOTHER
        )
    k1, k2, p1, p2, k3 = (coefficients[name] for name in DISTORTION)
    return (k1, k2, p1, p2, k3), False


def _file(folder: ExportFile, name: object, where: str, why: str) -> ExportFile:
    """The file that a frame names, perhaps with backslashes (Windows) or without its ending (instant-ngp,
    Blender). Raises FrameError with `why` where there is none."""
    if not isinstance(name, str) or not name:
        raise FrameError(f"{where}: names no file_path; export it again", BAD_CAMERA)
    name = name.replace("\\", "/")
    for ending in ("", *raw_files.IMAGES, *map(str.upper, raw_files.IMAGES)):
        if (path := folder / f"{name}{ending}").is_file():
            return path
    message = f"{folder / name}: missing, {where} names it; export it again or take the frame out"
    raise FrameError(message, why)
