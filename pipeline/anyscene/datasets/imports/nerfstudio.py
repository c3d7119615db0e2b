"""A capture in nerfstudio's form (Polycam, Record3D and others by way of ns-process-data; instant-ngp's too).

    FOLDER/transforms.json    intrinsics of all frames, or of each, and a camera-to-world matrix of each
    FOLDER/file_path          its image, and FOLDER/depth_file_path its depth, where there is any; some tools
                              write them without ending, or with backslashes

Source: docs.nerf.studio, "Data conventions". Cameras have OpenGL axes (x right, y up, z back), the world's z
is up, and the middle of the first pixel is (0.5, 0.5): 0.5 less here, where it is (0, 0).

Two things the file does not say, and are asked for: the length of its unit (a capture that went through
COLMAP has any), and the unit of its depth. Up is z unless another is given: ns-process-data keeps the world
of what it converts, which is z up of Polycam, but not of Record3D and COLMAP.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
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
    fitted,
    named,
    rescaled,
)
from anyscene.datasets.left_out import NO_DEPTH, NO_IMAGE, usable
from anyscene.datasets.readings import Reading
from anyscene.errors import DataError, FrameError
from anyscene.scene import Camera

MARKS = ("transforms.json",)
REMEDY = "give the folder that ns-process-data wrote"
PERSPECTIVE = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE")
DISTORTION = ("k1", "k2", "p1", "p2", "k3")
FISHEYE = "OPENCV_FISHEYE"
UP = np.array([0.0, 0.0, 1.0])


def read(folder: ExportFile, options: ExportOptions) -> Capture:
    """The frames in the order of the file, without those whose files are missing or damaged. Raises DataError
    that names the frame where something is unknown or contradictory, and where the scale or the unit of depth
    is not given."""
    path = folder / MARKS[0]
    try:
        content = json.loads(path.read_text())
        frames = content["frames"]
    except FileNotFoundError as error:
        raise DataError(f"{path}: missing; {REMEDY}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not a nerfstudio capture ({error!r}); export it again") from error
    if not isinstance(frames, list) or not frames:
        raise DataError(f"{path}: no frames; export it again")
    if options.scale is None:
        raise DataError(
            f"{path}: does not say how long its unit is; give --scale 1 where a device measured it (Polycam, "
            "Record3D, ARKit), or the metres of a unit, by a length that you know (COLMAP)"
        )
    places = [f"{path}: frame {number}" for number in range(len(frames))]
    for frame, where in zip(frames, places, strict=True):
        if not isinstance(frame, dict):
            raise DataError(f"{where}: not an object; export it again")
    if options.depth_unit is None and any("depth_file_path" in frame for frame in frames):
        raise DataError(
            f"{path}: does not say the unit of its depth; give --depth-unit mm (nerfstudio's default), m, or "
            "the metres of one step"
        )
    reading = options.reading(options.depth_unit or 0.001, axes="opengl")
    source_frames, left_out = usable(
        [
            (str(frame.get("file_path")), ({**content, **frame}, where))
            for frame, where in zip(frames, places, strict=True)
        ],
        lambda frame: _frame(folder, *frame, options.depth_unit, reading),
    )
    up, said = (UP, False) if options.up is None else (options.up, True)
    capture = oriented(named(source_frames, path), path, up, options.scale, left_out, sure=said)
    return replace(capture, reading=reading)


def _frame(
    folder: ExportFile, values: dict[str, Any], where: str, depth_unit: float | None, reading: Reading
) -> SourceFrame:
    color = _file(folder, values.get("file_path"), where, NO_IMAGE)
    depth = None
    if (file := values.get("depth_file_path")) is not None:
        assert depth_unit is not None  # `read` has asked for it
        depth = Depth(_file(folder, file, where, NO_DEPTH), depth_unit, form=reading.depth_form)
    try:
        pose = reading.pose(np.array(values["transform_matrix"], np.float64))
        size, intrinsics = _intrinsics(values)
        distortion, fisheye = _distortion(values)
        factor, exif = fitted(size, color)
        camera = rescaled(Camera(intrinsics, pose, *size), factor)
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise DataError(f"{where}: camera lacks or garbles {error}; export it again") from error
    except FrameError as error:
        raise FrameError(f"{where}: {error}", error.why) from error
    except DataError as error:
        raise DataError(f"{where}: {error}") from error
    id = str(color).removeprefix(str(folder)).lstrip("/")
    return SourceFrame(id, color, depth, camera, distortion, exif, fisheye)


def _intrinsics(values: dict[str, Any]) -> tuple[tuple[int, int], F8]:
    """((width, height), intrinsics f8[3,3] with pixel centres on whole numbers)."""
    width, height = int(values["w"]), int(values["h"])
    if "fl_x" in values:
        fx = float(values["fl_x"])
        fy = float(values.get("fl_y", fx))
    else:  # instant-ngp
        fx = width / 2 / math.tan(float(values["camera_angle_x"]) / 2)
        fy = height / 2 / math.tan(float(values["camera_angle_y"]) / 2) if "camera_angle_y" in values else fx
    cx, cy = float(values.get("cx", width / 2)), float(values.get("cy", height / 2))
    return (width, height), np.array([[fx, 0, cx - 0.5], [0, fy, cy - 0.5], [0, 0, 1]])


def _distortion(values: dict[str, Any]) -> tuple[tuple[float, float, float, float, float], bool]:
    """(the distortion of a SourceFrame, whether it is of a fisheye)."""
    model = values.get("camera_model", "OPENCV")
    coefficients = {name: float(values.get(name, 0)) for name in (*DISTORTION, "k4", "k5", "k6")}
    if model == FISHEYE:
        k1, k2, k3, k4 = (coefficients[name] for name in ("k1", "k2", "k3", "k4"))
        return (k1, k2, k3, k4, 0.0), True
    if model not in PERSPECTIVE or values.get("is_fisheye"):
        raise DataError(f"camera model {model} cannot be undistorted here; run colmap image_undistorter")
    unknown = [name for name in ("k4", "k5", "k6") if coefficients[name]]
    if unknown:
        raise DataError(f"{unknown[0]} of {model} is not supported; run colmap image_undistorter")
    k1, k2, p1, p2, k3 = (coefficients[name] for name in DISTORTION)
    return (k1, k2, p1, p2, k3), False


def _file(folder: ExportFile, name: object, where: str, why: str) -> ExportFile:
    """The file that a frame names, perhaps with backslashes (Windows) or without its ending (instant-ngp,
    Blender). Raises FrameError with `why` where there is none."""
    if not isinstance(name, str) or not name:
        raise DataError(f"{where}: names no file_path; export it again")
    name = name.replace("\\", "/")
    for ending in ("", *raw_files.IMAGES, *map(str.upper, raw_files.IMAGES)):
        if (path := folder / f"{name}{ending}").is_file():
            return path
    message = f"{folder / name}: missing, {where} names it; export it again or take the frame out"
    raise FrameError(message, why)
