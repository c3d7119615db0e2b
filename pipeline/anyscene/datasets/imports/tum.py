"""A recording in the form of TUM's RGB-D benchmark, which ORB-SLAM, ETH3D and many others have:

    FOLDER/rgb.txt, depth.txt     time and file of each image; or associations.txt, which pairs them
    FOLDER/groundtruth.txt        time, tx ty tz qx qy qz qw: camera to world, metres; or of a SLAM
    FOLDER/calibration.txt        fx fy cx cy of the colour images; or intrinsics.txt, also as a 3x3 matrix

Sources: cvg.cit.tum.de/data/datasets/rgbd-dataset/file_formats (5000 steps a metre, 0 = no reading; z up;
depth registered to colour) and .../tools (associate.py pairs what is within 0.02 s);
vision.in.tum.de/data/datasets/rgbd-dataset/intrinsic_calibration (525, 319.5, 239.5 for the points of all its
recordings); www.eth3d.net/slam_documentation (calibration.txt; the first pixel's centre is (0, 0)).

Images, depth and poses have rates of their own. A pose between two that are close is interpolated.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from anyscene.arrays import F8
from anyscene.datasets import rotations
from anyscene.datasets.imports.export_options import ExportOptions
from anyscene.datasets.imports.orientation import Capture, oriented
from anyscene.datasets.imports.source_frame import Depth, ExportFile, SourceFrame, framed, named
from anyscene.datasets.imports.text_files import intrinsics_of, rows, table
from anyscene.datasets.imports.trajectory import Trajectory, nearest
from anyscene.datasets.left_out import NO_DEPTH, usable
from anyscene.errors import DataError, FrameError

PAIRED = ("associations.txt", "associated.txt", "association.txt", "associate.txt")
POSES = ("groundtruth.txt", "CameraTrajectory.txt", "KeyFrameTrajectory.txt", "trajectory.txt", "pose.txt")
CAMERAS = ("calibration.txt", "intrinsics.txt")
MARKS = ("rgb.txt", *PAIRED)
REMEDY = "give the folder with rgb.txt, depth.txt and groundtruth.txt"
NEAR = 0.02  # seconds
GAP = 0.1  # seconds between poses that are interpolated
UNIT = 1 / 5000  # metres in a step of depth
OWN = "freiburg"  # in the names of TUM's own recordings
OPENNI = np.array([[525.0, 0, 319.5], [0, 525, 239.5], [0, 0, 1]])
UP = np.array([0.0, 0.0, 1.0])

Timed = tuple[float, str]  # seconds and the path of an image


def read(folder: ExportFile, options: ExportOptions) -> Capture:
    """The colour images in the order of their times. Raises DataError naming the file that is missing or of
    another form."""
    path = next((folder / name for name in POSES if (folder / name).is_file()), None)
    if path is None:
        raise DataError(f"{folder / POSES[0]}: missing; write time tx ty tz qx qy qz qw of the camera there")
    trajectory, intrinsics = _trajectory(path), _intrinsics(folder)
    unit = options.depth_unit or UNIT
    reading = options.reading(unit)

    def frame(color: Timed, depth: Timed | None) -> SourceFrame:
        pose = reading.pose(trajectory.at(color[0], path))
        if depth is None:
            raise FrameError(f"{folder / color[1]}: no depth within {NEAR:g} s", NO_DEPTH)
        map_ = Depth(folder / depth[1], unit, form=reading.depth_form)
        return framed(color[1], folder / color[1], map_, pose, intrinsics, None, path)

    source_frames, left_out = usable(
        [(color[1], (color, depth)) for color, depth in _pairs(folder)], lambda pair: frame(*pair)
    )
    up = UP if options.up is None else options.up
    return oriented(named(source_frames, folder), folder, up, reading, left_out)


def _trajectory(path: ExportFile) -> Trajectory:
    values = table(path, 8)
    values = values[np.isfinite(values).all(1) & (np.linalg.norm(values[:, 4:], axis=1) > 0)]
    if not len(values):
        raise DataError(f"{path}: no pose; write time tx ty tz qx qy qz qw, a line for each")
    return Trajectory.of(values[:, 0], values[:, 1:4], rotations.of_quaternions(values[:, 4:]), NEAR, GAP)


def _intrinsics(folder: ExportFile) -> F8:
    for name in CAMERAS:
        if (folder / name).is_file():
            return intrinsics_of(folder / name)
    if OWN in folder.name:
        return OPENNI
    raise DataError(
        f"{folder / CAMERAS[0]}: missing; write fx fy cx cy of the colour images there, which the form does "
        "not say"
    )


def _pairs(folder: ExportFile) -> Sequence[tuple[Timed, Timed | None]]:
    """The colour images in the order of their times, each with its depth, if there is one."""
    path = next((folder / name for name in PAIRED if (folder / name).is_file()), None)
    if path is not None:
        return sorted(_associated(path, words) for words in rows(path))
    colors, depths = (sorted(_timed(folder / name)) for name in ("rgb.txt", "depth.txt"))
    timed = [(depth[0], depth) for depth in depths]
    return [(color, nearest(timed, color[0], NEAR)) for color in colors]


def _timed(path: ExportFile) -> list[Timed]:
    try:
        return [(float(time), _portable(file)) for time, file, *_ in rows(path)]
    except ValueError as error:
        raise DataError(f"{path}: a line is not a time and a file ({error}); export it again") from error


def _associated(path: ExportFile, words: list[str]) -> tuple[Timed, Timed]:
    """The colour and the depth of a line: files in any order, each after its time."""
    images = [(before, _portable(word)) for before, word in itertools.pairwise(words) if not _number(word)]
    try:
        timed = [(float(time), file) for time, file in images]
        (depth,) = (one for one in timed if "depth" in one[1].lower())
        (color,) = (one for one in timed if "depth" not in one[1].lower())
    except ValueError as error:
        line = " ".join(words)
        raise DataError(
            f"{path}: {line!r} is not the time and the file of a colour and of a depth image; pair them again"
        ) from error
    return color, depth


def _portable(file: str) -> str:
    return file.replace("\\", "/")


def _number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
