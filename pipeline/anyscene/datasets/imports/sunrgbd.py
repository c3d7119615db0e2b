"""An image of SUN RGB-D, which is a scene of one frame:

    FOLDER/image/NAME.jpg            colour
    FOLDER/depth/NAME.png            16 bits: millimetres, rotated to the left by 3 bits; 0 = no reading
    FOLDER/intrinsics.txt            9 numbers; the first pixel's centre is (1, 1)
    FOLDER/extrinsics/TIME.txt       3x4, of which the rotation levels the camera: to x right, y down, z ahead

Sources: the toolbox of rgbd.cs.princeton.edu, read3dPoints.m (bits, 8 m), read_3d_pts_general.m (pixels) and
readframeSUNRGBD.m (the last file of extrinsics/); laughtervv/DepthAwareCNN, issue 34 (the bits);
TUI-NICR/ESANet, issue 11 (depth as measured; depth_bfx is filled in, and taken where that one is missing).
"""

from __future__ import annotations

import numpy as np

from anyscene.arrays import F8, Array
from anyscene.datasets.imports.archive import matching
from anyscene.datasets.imports.export_options import ExportOptions
from anyscene.datasets.imports.orientation import Capture, oriented
from anyscene.datasets.imports.source_frame import Depth, ExportFile, framed, numbers
from anyscene.datasets.imports.text_files import intrinsics_of, table
from anyscene.datasets.raw_files import natural
from anyscene.errors import DataError
from anyscene.scene import turned_back

MARKS = ("depth_bfx", "annotation2Dfinal", "annotation3Dfinal")
REMEDY = "give the folder of an image, with image/, depth/ and extrinsics/"
DEPTHS = ("depth", "depth_bfx")
MILLIMETRE = 0.001
FARTHEST = 8000  # millimetres; what lies beyond is cut off there
LEVEL = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # from x right, y down, z ahead to z up
UP = np.array([0.0, 0.0, 1.0])


def read(folder: ExportFile, options: ExportOptions) -> Capture:
    """Its one frame. Raises DataError naming the file that is missing or of another form."""
    options.refuse("scale", "depth_unit", "up", because="SUN RGB-D has metres, and its own depth; z is up")
    color = _only(folder, "image", "jpg")
    depth = _only(folder, next((name for name in DEPTHS if (folder / name).is_dir()), DEPTHS[0]), "png")
    intrinsics = intrinsics_of(folder / "intrinsics.txt")
    intrinsics[:2, 2] -= 1
    tilts = sorted(matching(folder, "extrinsics/*.txt"), key=lambda file: natural(file.name))
    if not tilts:
        raise DataError(f"{folder / 'extrinsics'}: no file; download it again")
    pose = np.eye(4)
    pose[:3, :3] = LEVEL @ _tilt(tilts[-1])
    frame = framed(
        color.name.rpartition(".")[0],
        color,
        Depth(depth, MILLIMETRE, unrotated),
        pose,
        intrinsics,
        None,
        tilts[-1],
    )
    return oriented([frame], folder, UP)


def unrotated(source: ExportFile) -> Array:
    """u2[H,W]: the depth map in millimetres, 0 = no reading. Raises ValueError for another form."""
    stored = numbers(source)
    wide = stored.dtype.kind in "ui" and stored.dtype.itemsize > 1
    if stored.ndim != 2 or not wide or stored.max(initial=0) > np.iinfo(np.uint16).max:
        raise ValueError(f"{stored.dtype}{list(stored.shape)}, not 16 bits")
    depth = turned_back(stored)
    return np.where(depth < FARTHEST, depth, 0).astype(np.uint16)


def _only(folder: ExportFile, name: str, ending: str) -> ExportFile:
    found = list(matching(folder, f"{name}/*.{ending}"))
    if len(found) != 1:
        raise DataError(f"{folder / name}: {len(found)} .{ending} files, not one; {REMEDY}")
    return found[0]


def _tilt(path: ExportFile) -> F8:
    matrix = table(path, 3)
    if matrix.shape != (3, 3):
        raise DataError(f"{path}: {len(matrix)} lines, not 3; download it again")
    return matrix
