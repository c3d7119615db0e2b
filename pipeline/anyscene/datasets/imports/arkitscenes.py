"""A video of ARKitScenes, of the raw data or of 3DOD's:

    FOLDER/lowres_wide.traj                           time, axis and angle, translation: world to camera
    FOLDER/ASSET/VIDEO_TIME.png                       colour; ASSET is vga_wide, lowres_wide or wide
    FOLDER/ASSET_intrinsics/VIDEO_TIME.pincam         width height fx fy cx cy
    FOLDER/lowres_depth/VIDEO_TIME.png                16 bits, millimetres
    FOLDER/confidence/VIDEO_TIME.png                  8 bits: 0 low, 1 medium, 2 high
    FOLDER/VIDEO_3dod_mesh.ply                        ARKit's mesh, or in the folder above; taken where it is

Sources: apple/ARKitScenes, DATA.md, threedod/benchmark_scripts/utils/tenFpsDataLoader.py (the direction of
poses), and its issues 8 (poses come at 10 Hz, images at 60: poses between may be interpolated), 30 and 77;
rerun-io/rerun, examples/python/arkit_scenes (z up). Times in names are rounded to milliseconds.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from anyscene.arrays import F8
from anyscene.datasets import rotations
from anyscene.datasets.imports.archive import above, matching
from anyscene.datasets.imports.confidence import sure
from anyscene.datasets.imports.export_options import ExportOptions
from anyscene.datasets.imports.orientation import Capture, oriented
from anyscene.datasets.imports.source_frame import Depth, ExportFile, SourceFrame, framed
from anyscene.datasets.imports.text_files import numbers_of, table
from anyscene.datasets.imports.trajectory import Trajectory, nearest
from anyscene.datasets.left_out import NO_CAMERA, NO_DEPTH, usable
from anyscene.errors import DataError, FrameError

TRAJECTORY = "lowres_wide.traj"
MARKS = (TRAJECTORY,)
REMEDY = "give the folder of a video, with lowres_wide.traj and lowres_depth/"
ASSETS = ("vga_wide", "lowres_wide", "wide")
NEAR, GAP = 0.005, 0.15  # seconds: of a frame's own pose, and between poses that are interpolated
TOGETHER = 0.009  # seconds between colour and its depth: half a frame at 60 Hz
MILLIMETRE = 0.001
UP = np.array([0.0, 0.0, 1.0])


def read(folder: ExportFile, options: ExportOptions) -> Capture:
    """The frames of the first asset that is there, in the order of their times, where there is depth and a
    pose. Raises DataError naming the file."""
    options.refuse("scale", "depth_unit", "up", because="ARKitScenes has metres and millimetres, z is up")
    path = folder / TRAJECTORY
    trajectory = _trajectory(path)
    colors = next((found for asset in ASSETS if (found := _timed(folder / asset, "png"))), None)
    if colors is None:
        raise DataError(f"{folder}: no {' or '.join(f'{asset}/' for asset in ASSETS)}; download one of them")
    asset = above(colors[0][1]).name
    cameras = _timed(folder / f"{asset}_intrinsics", "pincam")
    depths, confidences = _timed(folder / "lowres_depth", "png"), _timed(folder / "confidence", "png")

    def frame(time: float, color: ExportFile) -> SourceFrame:
        pose = trajectory.at(time, path)
        camera = nearest(cameras, time, TOGETHER)
        if camera is None:
            raise FrameError(
                f"{color}: no pincam within {TOGETHER} s; download {asset}_intrinsics", NO_CAMERA
            )
        depth = nearest(depths, time, TOGETHER)
        if depth is None:
            raise FrameError(f"{color}: no depth within {TOGETHER} s", NO_DEPTH)
        confidence = nearest(confidences, time, TOGETHER)
        stored = Depth(depth, MILLIMETRE)
        if confidence is not None:
            stored = Depth(depth, MILLIMETRE, partial(sure, confidence=confidence, least=options.confidence))
        size, intrinsics = _camera(camera)
        return framed(f"{time:.3f}", color, stored, pose, intrinsics, size, path)

    source_frames, left_out = usable(
        [(f"{time:.3f}", (time, color)) for time, color in colors], lambda timed: frame(*timed)
    )
    return oriented(source_frames, folder, UP, 1.0, left_out, mesh=_mesh(folder))


def _trajectory(path: ExportFile) -> Trajectory:
    values = table(path, 7)
    values = values[np.isfinite(values).all(1)]
    if not len(values):
        raise DataError(f"{path}: no pose; download it again")
    rotation = rotations.of_vectors(-values[:, 1:4])  # camera to world
    position = -(rotation @ values[:, 4:, None])[..., 0]
    return Trajectory.of(values[:, 0], position, rotation, NEAR, GAP)


def _camera(path: ExportFile) -> tuple[tuple[int, int], F8]:
    """((width, height), intrinsics f8[3,3])."""
    numbers = numbers_of(path)
    if len(numbers) != 6:
        raise FrameError(
            f"{path}: {len(numbers)} numbers, not 6; download it again", "intrinsics of no camera"
        )
    if not (np.isfinite(numbers).all() and (numbers[:4] > 0).all()):
        raise FrameError(
            f"{path}: sizes and focal lengths must be positive, and no number NaN; download it again",
            "intrinsics of no camera",
        )
    width, height, fx, fy, cx, cy = numbers
    return (int(width), int(height)), np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])


def _timed(folder: ExportFile, ending: str) -> list[tuple[float, ExportFile]]:
    """The files with the time in their names, in its order."""
    found: list[tuple[float, ExportFile]] = []
    for file in matching(folder, f"*_*.{ending}"):
        try:
            found.append((float(file.name.rpartition(".")[0].rpartition("_")[2]), file))
        except ValueError as error:
            raise DataError(f"{file}: its name is not VIDEO_TIME.{ending}; delete it") from error
    return sorted(found, key=lambda one: one[0])


def _mesh(folder: ExportFile) -> Path | None:
    for place in (folder, above(folder)):
        for mesh in matching(place, "*_3dod_mesh.ply"):
            if isinstance(mesh, Path):
                return mesh
    return None
