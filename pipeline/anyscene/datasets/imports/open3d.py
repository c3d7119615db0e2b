"""A folder that Open3D's recorders of Azure Kinect and RealSense wrote, after its reconstruction system.

    FOLDER/color/00000.jpg            or rgb/, image/
    FOLDER/depth/00000.png            16 bits, registered to colour
    FOLDER/intrinsic.json             width, height, intrinsic_matrix column by column, perhaps depth_scale,
                                      the steps of a metre; or camera_intrinsic.json
    FOLDER/scene/trajectory.log       of each frame a line of 3 numbers and its camera-to-world matrix; or
                                      FOLDER/trajectory.log
    FOLDER/scene/integrated.ply       the mesh in the world of the trajectory, taken where it is there

Sources: isl-org/Open3D, examples/python/reconstruction_system: sensors/realsense_recorder.py,
sensors/azure_kinect_mkv_reader.py, integrate_scene.py, and its issues 1510, 2467 and 5335;
cpp/open3d/t/io/sensor/RGBDVideoMetadata.cpp (depth_scale). NICE-SLAM's Apartment has this form. Colour and
depth belong together by their names, or else by their order, as Open3D pairs them. OpenCV axes, metres. The
world is the first camera's: the images say what is up unless --up does.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from anyscene.arrays import F8
from anyscene.datasets.imports.archive import matching, read_json
from anyscene.datasets.imports.export_options import ExportOptions
from anyscene.datasets.imports.orientation import Capture, oriented
from anyscene.datasets.imports.source_frame import Depth, ExportFile, SourceFrame, framed
from anyscene.datasets.imports.text_files import rows
from anyscene.datasets.left_out import NO_DEPTH, NO_POSE, usable
from anyscene.datasets.raw_files import natural, placed
from anyscene.datasets.up import IMAGES
from anyscene.errors import DataError, FrameError

INTRINSICS = ("intrinsic.json", "camera_intrinsic.json")
TRAJECTORIES = ("scene/trajectory.log", "trajectory.log")
MARKS = (*INTRINSICS, *TRAJECTORIES)
REMEDY = "give the folder with color/, depth/ and intrinsic.json"
COLORS = ("color", "rgb", "image")
MESH = "scene/integrated.ply"
DEPTH_SCALE = 1000.0  # Open3D's default

Size = tuple[int, int]


def read(folder: ExportFile, options: ExportOptions) -> Capture:
    """The frames in the order of their names. Raises DataError naming the file, and where there are no poses
    yet."""
    path = next((folder / name for name in TRAJECTORIES if (folder / name).is_file()), None)
    if path is None:
        raise DataError(
            f"{folder / TRAJECTORIES[0]}: missing, a recording has no poses; run Open3D's reconstruction "
            "system on it (run_system.py --make --register --refine --integrate)"
        )
    poses, (intrinsics, size, scale) = _poses(path), _intrinsics(folder)
    pairs = _pairs(folder)
    unit = options.depth_unit or 1 / scale
    reading = options.reading(unit)

    def frame(number: int) -> SourceFrame:
        color, depth = pairs[number]
        if number not in poses:
            raise FrameError(f"{path}: no pose of frame {number}", NO_POSE)
        if depth is None:
            raise FrameError(f"{color}: has no depth; add it or delete the frame", NO_DEPTH)
        where = f"{path}: frame {number}"
        stem = PurePosixPath(color.name).stem
        map_ = Depth(depth, unit, form=reading.depth_form)
        pose = placed(reading, poses[number], where)
        return framed(stem, color, map_, pose, intrinsics, size, where)

    ids = [PurePosixPath(color.name).stem for color, _ in pairs]
    source_frames, left_out = usable(list(zip(ids, range(len(pairs)), strict=True)), frame)
    up = IMAGES if options.up is None else options.up
    mesh = folder / MESH
    capture = oriented(
        source_frames,
        folder,
        up,
        reading.scale,
        left_out,
        mesh=mesh if isinstance(mesh, Path) and mesh.is_file() else None,
    )
    return replace(capture, reading=reading)


def _poses(path: ExportFile) -> dict[int, F8]:
    """f8[4,4] by the number of the frame, the first of the line before each."""
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


def _intrinsics(folder: ExportFile) -> tuple[F8, Size, float]:
    """(intrinsics f8[3,3], the size of their images, the steps of a metre of depth)."""
    path = next((folder / name for name in INTRINSICS if (folder / name).is_file()), folder / INTRINSICS[0])
    values = read_json(path)
    try:
        matrix = np.array(values["intrinsic_matrix"], np.float64).reshape(3, 3).T
        size, scale = (int(values["width"]), int(values["height"])), float(values.get("depth_scale", 0))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{path}: lacks or garbles {error}; record it again") from error
    return matrix, size, scale if scale > 0 else DEPTH_SCALE


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
