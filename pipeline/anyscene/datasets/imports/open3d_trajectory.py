"""The poses of frames, as Open3D writes them:

    trajectory.log     of each frame a line that begins with its number, and its matrix, camera to world, a
                       row a line
    trajectory.json    a PinholeCameraTrajectory: of each frame in turn `extrinsic`, its matrix, world to
                       camera, column by column

Sources: redwood-data.org/indoor/fileformat.html; isl-org/Open3D, cpp/open3d/camera/
PinholeCameraTrajectory.cpp, and its issues 920 (at first, `extrinsic` was a list of all) and 2778 (a log has
poses, whose inverses are extrinsics). The intrinsics of a JSON file are not taken: those of a window are
often among them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anyscene.arrays import F8
from anyscene.datasets.imports.archive import read_json
from anyscene.datasets.imports.source_frame import ExportFile
from anyscene.datasets.imports.text_files import rows
from anyscene.datasets.readings import Poses
from anyscene.errors import DataError


@dataclass(frozen=True, eq=False)
class StoredPoses:
    """The matrices of frames, as they are stored."""

    matrices: dict[int, F8]  # f8[4,4] by the number of the frame
    poses: Poses  # from where to where they lead


def read(path: ExportFile) -> StoredPoses:
    """The trajectory in a file. Raises DataError naming it."""
    if path.name.endswith(".json"):
        return StoredPoses(_of_parameters(path), "world-to-camera")
    return StoredPoses(_of_lines(path), "camera-to-world")


def _of_lines(path: ExportFile) -> dict[int, F8]:
    lines = rows(path)
    try:
        return {
            int(lines[k][0]): np.array(
                [[float(word) for word in words] for words in lines[k + 1 : k + 5]]
            ).reshape(4, 4)
            for k in range(0, len(lines), 5)
        }
    except ValueError as error:
        raise DataError(
            f"{path}: not a trajectory, 5 lines for each frame ({error}); run the reconstruction again"
        ) from error


def _of_parameters(path: ExportFile) -> dict[int, F8]:
    values = read_json(path)
    try:
        stored = (
            [one["extrinsic"] for one in values["parameters"]]
            if "parameters" in values
            else list(values["extrinsic"])
        )
        return {number: np.array(matrix, np.float64).reshape(4, 4).T for number, matrix in enumerate(stored)}
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path}: not a PinholeCameraTrajectory, it lacks or garbles {error}; write it again"
        ) from error
