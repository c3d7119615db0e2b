"""A capture in nerfstudio's form (Polycam, Record3D and others by way of ns-process-data; instant-ngp's too).

    FOLDER/transforms.json    intrinsics of all frames, or of each, and a camera-to-world matrix of each
    FOLDER/file_path          its image, and FOLDER/depth_file_path its depth, where there is any

Source: docs.nerf.studio, "Data conventions". Cameras have OpenGL axes (x right, y up, z back), the world's z
is up, and the middle of the first pixel is (0.5, 0.5): 0.5 less here, where it is (0, 0).

Two things the file does not say, and are asked for: the length of its unit (a capture that went through
COLMAP has any), and the unit of its depth.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline.captures.shot import Shot, fitted, rescaled
from pipeline.errors import DataError
from pipeline.scene import Camera

FILE = "transforms.json"
OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])  # to OpenCV axes
PERSPECTIVE = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE")
DISTORTION = ("k1", "k2", "p1", "p2", "k3")


def read(folder: Path, scale: float | None, depth_unit: float | None) -> list[Shot]:
    """The frames in file order. scale: metres of a unit of its poses; depth_unit: metres of a depth's step.

    Raises DataError naming the frame for anything missing, unknown or contradictory, and where one of the two
    is None and needed.
    """
    path = folder / FILE
    try:
        content = json.loads(path.read_text())
        frames = content["frames"]
    except FileNotFoundError as error:
        raise DataError(f"{path}: missing; give the folder that ns-process-data wrote") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not a nerfstudio capture ({error!r}); export it again") from error
    if not isinstance(frames, list) or not frames:
        raise DataError(f"{path}: no frames; export it again")
    if scale is None:
        raise DataError(
            f"{path}: does not say how long its unit is; give --scale 1 where a device measured it (Polycam, "
            "Record3D, ARKit), or the metres of a unit, by a length that you know (COLMAP)"
        )
    if depth_unit is None and any("depth_file_path" in frame for frame in frames):
        raise DataError(
            f"{path}: does not say the unit of its depth; give --depth-unit mm (nerfstudio's default), m, or "
            "the metres of one step"
        )
    shots = []
    for number, frame in enumerate(frames):
        place = f"{path}: frame {number}"
        if not isinstance(frame, dict):
            raise DataError(f"{place}: not an object; export it again")
        shots.append(_shot(folder, {**content, **frame}, place, scale, depth_unit))
    return _named(shots, path)


def _shot(folder: Path, values: dict, place: str, scale: float, depth_unit: float | None) -> Shot:
    color = _file(folder, values.get("file_path"), place)
    depth = values.get("depth_file_path")
    depth = None if depth is None else _file(folder, depth, place)
    try:
        pose = np.array(values["transform_matrix"], np.float64) @ OPENGL
        pose[:3, 3] *= scale
        size, intrinsics = _intrinsics(values, color)
        distortion = _distortion(values)
        factor, exif = fitted(size, color)
        camera = rescaled(Camera(intrinsics, pose, *size), factor)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise DataError(f"{place}: camera lacks or garbles {error}; export it again") from error
    except DataError as error:
        raise DataError(f"{place}: {error}") from error
    id = Path(values["file_path"]).with_suffix("").as_posix().replace("/", "_")
    return Shot(id, color, depth, depth_unit or 1.0, camera, distortion, exif)


def _intrinsics(values: dict, color: Path) -> tuple[tuple[int, int], np.ndarray]:
    """((width, height), [3,3] with pixel centres on whole numbers)."""
    width, height = int(values["w"]), int(values["h"])
    if "fl_x" in values:
        fx = float(values["fl_x"])
        fy = float(values.get("fl_y", fx))
    else:  # instant-ngp
        fx = width / 2 / math.tan(float(values["camera_angle_x"]) / 2)
        fy = height / 2 / math.tan(float(values["camera_angle_y"]) / 2) if "camera_angle_y" in values else fx
    cx, cy = float(values.get("cx", width / 2)), float(values.get("cy", height / 2))
    return (width, height), np.array([[fx, 0, cx - 0.5], [0, fy, cy - 0.5], [0, 0, 1]])


def _distortion(values: dict) -> tuple[float, float, float, float, float]:
    model = values.get("camera_model", "OPENCV")
    coefficients = {name: float(values.get(name, 0)) for name in (*DISTORTION, "k4", "k5", "k6")}
    if model not in PERSPECTIVE or values.get("is_fisheye"):
        raise DataError(
            f"camera model {model} is none that is undistorted here; run colmap image_undistorter"
        )
    unknown = [name for name in ("k4", "k5", "k6") if coefficients[name]]
    if unknown:
        raise DataError(f"{unknown[0]} of {model} is not supported; run colmap image_undistorter")
    return tuple(coefficients[name] for name in DISTORTION)


def _file(folder: Path, name: object, place: str) -> Path:
    if not isinstance(name, str) or not name:
        raise DataError(f"{place}: names no file_path; export it again")
    path = folder / name
    if not path.is_file():
        raise DataError(f"{path}: missing, {place} names it; export it again or take the frame out")
    return path


def _named(shots: Sequence[Shot], path: Path) -> list[Shot]:
    """The shots, by their files' names alone where those differ."""
    stems = [shot.color.stem for shot in shots]
    if len(set(stems)) == len(stems):
        return [replace(shot, id=stem) for shot, stem in zip(shots, stems, strict=True)]
    ids = [shot.id for shot in shots]
    if len(set(ids)) < len(ids):
        twice = next(id for id in ids if ids.count(id) > 1)
        raise DataError(f"{path}: two frames have file_path {twice}; delete one of them")
    return list(shots)
