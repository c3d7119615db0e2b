"""A folder that Open3D's recorders of Azure Kinect and RealSense wrote, after its reconstruction system.

    FOLDER/color/00000.jpg            or rgb/, image/
    FOLDER/depth/00000.png            16 bits, registered to colour
    FOLDER/intrinsic.json             width, height, intrinsic_matrix column by column, perhaps depth_scale,
                                      the steps of a metre; or camera_intrinsic.json
    FOLDER/scene/trajectory.log       the poses of the frames (`open3d_trajectory`); or trajectory.json, or
                                      camera_trajectory.json; or in FOLDER
    FOLDER/scene/integrated.ply       the mesh in the world of the trajectory, taken where it is there

Sources: isl-org/Open3D, examples/python/reconstruction_system: sensors/realsense_recorder.py,
sensors/azure_kinect_mkv_reader.py, integrate_scene.py, and its issues 1510, 2467 and 5335;
cpp/open3d/t/io/sensor/RGBDVideoMetadata.cpp (depth_scale). NICE-SLAM's Apartment has this form. Colour and
depth belong together by their names, or else by their order, as Open3D pairs them. OpenCV axes, metres. The
world is the first camera's: the images say what is up unless --up does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from anyscene.arrays import F8
from anyscene.datasets.imports import open3d_trajectory
from anyscene.datasets.imports.archive import matching, read_json
from anyscene.datasets.imports.export_options import ExportOptions
from anyscene.datasets.imports.orientation import Capture, oriented
from anyscene.datasets.imports.source_frame import Depth, ExportFile, SourceFrame, framed
from anyscene.datasets.left_out import NO_DEPTH, NO_POSE, usable
from anyscene.datasets.raw_files import natural, placed
from anyscene.datasets.up import IMAGES
from anyscene.errors import DataError, FrameError

INTRINSICS = ("intrinsic.json", "camera_intrinsic.json")
TRAJECTORIES = tuple(
    f"{place}{name}"
    for name in ("trajectory.log", "trajectory.json", "camera_trajectory.json")
    for place in ("scene/", "")
)
MARKS = (*INTRINSICS, *TRAJECTORIES)
REMEDY = "give the folder with color/, depth/ and intrinsic.json"
COLORS = ("color", "rgb", "image")
MESH = "scene/integrated.ply"
DEPTH_SCALE = 1000.0  # Open3D's default


@dataclass(frozen=True, eq=False)
class _Sensor:
    intrinsics: F8  # f8[3,3], pixel centres on whole numbers
    size: tuple[int, int]  # of its images
    steps: float  # of depth in a metre


def read(folder: ExportFile, options: ExportOptions) -> Capture:
    """The frames in the order of their names. Raises DataError naming the file, and where there are no poses
    yet."""
    path = next((folder / name for name in TRAJECTORIES if (folder / name).is_file()), None)
    if path is None:
        raise DataError(
            f"{folder / TRAJECTORIES[0]}: missing, a recording has no poses; run Open3D's reconstruction "
            "system on it (run_system.py --make --register --refine --integrate)"
        )
    trajectory, camera, pairs = open3d_trajectory.read(path), _camera(folder), _pairs(folder)
    ids = [PurePosixPath(color.name).stem for color, _ in pairs]
    numbers = _numbers(ids, trajectory.matrices)
    unit = options.depth_unit or 1 / camera.steps
    reading = options.reading(unit, poses=trajectory.poses)

    def frame(index: int) -> SourceFrame:
        (color, depth), number = pairs[index], numbers[index]
        if number not in trajectory.matrices:
            raise FrameError(f"{path}: no pose of frame {number}", NO_POSE)
        if depth is None:
            raise FrameError(f"{color}: has no depth; add it or delete the frame", NO_DEPTH)
        where = f"{path}: frame {number}"
        stem = PurePosixPath(color.name).stem
        map_ = Depth(depth, unit, form=reading.depth_form)
        pose = placed(reading, trajectory.matrices[number], where)
        return framed(stem, color, map_, pose, camera.intrinsics, camera.size, where)

    source_frames, left_out = usable(list(zip(ids, range(len(pairs)), strict=True)), frame)
    up = IMAGES if options.up is None else options.up
    return oriented(source_frames, folder, up, reading, left_out, mesh=folder / MESH)


def _numbers(ids: Sequence[str], matrices: Mapping[int, F8]) -> Sequence[int]:
    """The numbers by which the trajectory counts the frames: those of their order, as Open3D reads them; or
    where images were taken out since, those in their names."""
    if len(ids) < len(matrices) and all(id.isdecimal() and int(id) in matrices for id in ids):
        return [int(id) for id in ids]
    return range(len(ids))


def _camera(folder: ExportFile) -> _Sensor:
    path = next((folder / name for name in INTRINSICS if (folder / name).is_file()), folder / INTRINSICS[0])
    values = read_json(path)
    try:
        matrix = np.array(values["intrinsic_matrix"], np.float64).reshape(3, 3).T
        size, steps = (int(values["width"]), int(values["height"])), float(values.get("depth_scale", 0))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{path}: lacks or garbles {error}; record it again") from error
    return _Sensor(matrix, size, steps if steps > 0 else DEPTH_SCALE)


def _pairs(folder: ExportFile) -> list[tuple[ExportFile, ExportFile | None]]:
    """Colour images in the order of their names, each with its depth."""
    place = next((folder / name for name in COLORS if (folder / name).is_dir()), folder / COLORS[0])
    colors, depths = _by_stem(place), _by_stem(folder / "depth")
    if not colors:
        raise DataError(f"{place}: no image; {REMEDY}")
    if colors.keys() & depths.keys():
        return [(color, depths.get(stem)) for stem, color in colors.items()]
    if len(colors) != len(depths):
        raise DataError(
            f"{folder / 'depth'}: {len(depths)} depth images for {len(colors)} in {place.name}/, and their "
            "names do not say which belong together; name both alike"
        )
    return list(zip(colors.values(), depths.values(), strict=True))


def _by_stem(folder: ExportFile) -> dict[str, ExportFile]:
    files = [file for ending in ("png", "jpg", "jpeg") for file in matching(folder, f"*.{ending}")]
    named = {PurePosixPath(file.name).stem: file for file in files}
    return dict(sorted(named.items(), key=lambda item: natural(item[0])))
