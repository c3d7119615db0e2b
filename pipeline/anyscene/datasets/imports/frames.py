"""Frames of 7-Scenes, 3DMatch and tsdf-fusion, the form of most captures by Kinect:

    FOLDER/frame-000000.color.png|jpg    or FOLDER/seq-01/frame-000000..., where a scene has several sequences
    FOLDER/frame-000000.depth.png        16 bits, millimetres; 0 and 65535 are no reading
    FOLDER/frame-000000.pose.txt         camera to world, 4x4, OpenCV axes, metres
    FOLDER/camera-intrinsics.txt         3x3; or in the folder above

Sources: microsoft.com/en-us/research/project/rgb-d-dataset-7-scenes (65535; principal point (320, 240) and
focal length 585 of the depth camera, to which colour is not registered); the README of
andyzeng/tsdf-fusion-python and its issue 34; 3dmatch.cs.princeton.edu (camera-intrinsics.txt beside the
sequences). The world is arbitrary, mostly the first camera's: the images say what is up unless --up does.
"""

from __future__ import annotations

import numpy as np

from anyscene.arrays import F8
from anyscene.datasets.imports.archive import above, matching
from anyscene.datasets.imports.export_options import ExportOptions
from anyscene.datasets.imports.orientation import Capture, oriented
from anyscene.datasets.imports.source_frame import Depth, ExportFile, SourceFrame, framed
from anyscene.datasets.imports.text_files import intrinsics_of
from anyscene.datasets.left_out import NO_DEPTH, NO_POSE, usable
from anyscene.datasets.raw_files import natural, placed
from anyscene.datasets.up import IMAGES
from anyscene.errors import DataError, FrameError

MARKS = ("frame-*.color.*", "seq-*/frame-*.color.*")
REMEDY = "give the folder with frame-000000.color.png, ..., or that of the sequences seq-01, ..."
INTRINSICS = "camera-intrinsics.txt"
SEVEN = ("chess", "fire", "heads", "office", "pumpkin", "redkitchen", "stairs")
KINECT = np.array([[585.0, 0, 320], [0, 585, 240], [0, 0, 1]])
MILLIMETRE = 0.001
UNREGISTERED = (
    f"without {INTRINSICS}: focal length 585 and centre (320, 240) were taken, which 7-Scenes says of its "
    "depth camera; its colour is not registered to it"
)


def read(folder: ExportFile, options: ExportOptions) -> Capture:
    """The frames of all sequences by their numbers. Raises DataError naming the file."""
    intrinsics, said = _intrinsics(folder)
    colors, depths = (_by_name(folder, kind) for kind in ("color", "depth"))
    unit = options.depth_unit or MILLIMETRE
    reading = options.reading(unit)

    def frame(name: str) -> SourceFrame:
        place = above(colors[name]) / _stem(colors[name])
        where = above(place) / f"{place.name}.pose.txt"
        pose = placed(reading, pose_of(where), where)
        if name not in depths:
            raise FrameError(f"{place}.depth.png: missing; add it or delete the frame", NO_DEPTH)
        depth = Depth(depths[name], unit, form=reading.depth_form)
        return framed(name, colors[name], depth, pose, intrinsics, None, where)

    source_frames, left_out = usable([(name, name) for name in sorted(colors, key=natural)], frame)
    up = IMAGES if options.up is None else options.up
    remarks = (said,) if said else ()
    return oriented(source_frames, folder, up, reading, left_out, remarks)


def _by_name(folder: ExportFile, kind: str) -> dict[str, ExportFile]:
    """The files of a kind (color, depth) of all sequences, by the names of their frames."""
    found: dict[str, ExportFile] = {}
    for mark in MARKS:
        for file in matching(folder, mark.replace("color", kind)):
            name = f"{above(file).name}_{_stem(file)}" if "/" in mark else _stem(file)
            if name in found:
                raise DataError(f"{file}: frame {_stem(file)} is also {found[name].name}; delete one of them")
            found[name] = file
    return found


def _stem(file: ExportFile) -> str:
    return file.name.split(".")[0]


def pose_of(source: ExportFile) -> F8:
    """f8[4,4]: the matrix in a text file. Raises FrameError naming the file."""
    try:
        numbers = [float(word) for word in source.read_text(encoding="utf-8-sig").split()]
    except (FileNotFoundError, KeyError) as error:
        raise FrameError(f"{source}: missing; add it or delete the frame", NO_POSE) from error
    except ValueError as error:
        raise FrameError(f"{source}: not a matrix ({error})", "pose not of 4x4 numbers") from error
    if len(numbers) != 16:
        why = "pose not of 4x4 numbers" if numbers else NO_POSE
        raise FrameError(f"{source}: {len(numbers)} numbers, not 4x4", why)
    return np.array(numbers).reshape(4, 4)


def _intrinsics(folder: ExportFile) -> tuple[F8, str]:
    """(intrinsics f8[3,3] of the images, what to say of them)."""
    for place in (folder, above(folder)):
        if (place / INTRINSICS).is_file():
            return intrinsics_of(place / INTRINSICS), ""
    if {folder.name, above(folder).name} & set(SEVEN):
        return KINECT, UNREGISTERED
    raise DataError(
        f"{folder / INTRINSICS}: missing; write the 3x3 intrinsics of the images (Kinect's are about 585, "
        "centre 320, 240)"
    )
