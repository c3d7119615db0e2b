"""A scene of ScanNet++, by its iPhone or its camera; or one of their folders, SCENE/iphone or SCENE/dslr:

    SCENE/iphone/rgb/frame_000000.jpg      1920x1440, extracted from the video
    SCENE/iphone/depth/frame_000000.png    256x192, 16 bits, millimetres, extracted from depth.bin
    SCENE/iphone/colmap/                   cameras and images of COLMAP, which did not register every frame
    SCENE/iphone/pose_intrinsic_imu.json   aligned_pose and intrinsic of every frame, without colmap/
    SCENE/dslr/resized_images/DSC0.JPG     images of a fisheye; no depth
    SCENE/dslr/colmap/                     cameras (OPENCV_FISHEYE) and images
    SCENE/scans/mesh_aligned_0.05.ply      the mesh of the laser scan: the points, where it is there

Sources: scannetpp/scannetpp, common/scene_release.py, iphone/prepare_iphone_data.py, iphone/arkit_pcl.py, and
its issues 104 (frames without pose), 154 (only aligned_pose is in the world of the mesh) and 167. Poses are
in the world of the mesh: metres, z up. The iPhone is taken where its images were extracted.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from anyscene.arrays import F8
from anyscene.datasets.imports.archive import above, read_json
from anyscene.datasets.imports.colmap import Lens, lenses_of, views_of
from anyscene.datasets.imports.export_options import ExportOptions
from anyscene.datasets.imports.orientation import Capture, oriented
from anyscene.datasets.imports.source_frame import Depth, ExportFile, SourceFrame, framed
from anyscene.datasets.left_out import usable
from anyscene.errors import DataError

MARKS = (
    "iphone/colmap",
    "iphone/pose_intrinsic_imu.json",
    "dslr/colmap",
    "pose_intrinsic_imu.json",
    "resized_images",
)
REMEDY = "give the folder of a scene, with iphone/ or dslr/"
MILLIMETRE = 0.001
MESH = "mesh_aligned_0.05.ply"
UP = np.array([0.0, 0.0, 1.0])

Posed = tuple[
    str, F8, Lens | F8
]  # the name of an image, its pose f8[4,4], its lens or its intrinsics f8[3,3]


def read(folder: ExportFile, options: ExportOptions) -> Capture:
    """The frames in the order of their names. Raises DataError naming the file."""
    options.refuse("scale", "depth_unit", "up", because="ScanNet++ has metres and millimetres, z is up")
    place, images = _images(folder)
    depths = place / "depth"
    with_depth = depths.is_dir()

    def frame(name: str, pose: F8, lens: Lens | F8) -> SourceFrame:
        stem = PurePosixPath(name).stem
        depth = Depth(depths / f"{stem}.png", MILLIMETRE) if with_depth else None
        color, where = images / name, f"{place}: {name}"
        if isinstance(lens, Lens):
            size = lens.width, lens.height
            lens_of = (lens.distortion, lens.fisheye)
            return framed(stem, color, depth, pose, lens.intrinsics, size, where, *lens_of)
        return framed(stem, color, depth, pose, lens, None, where)

    source_frames, left_out = usable(
        [
            (PurePosixPath(posed[0]).stem, posed)
            for posed in sorted(_posed(place), key=lambda posed: posed[0])
        ],
        lambda posed: frame(*posed),
    )
    scans = (place / MESH for place in (folder / "scans", above(folder) / "scans"))
    mesh = next((path for path in scans if isinstance(path, Path) and path.is_file()), None)
    return oriented(source_frames, folder, UP, 1.0, left_out, mesh=mesh)


def _images(folder: ExportFile) -> tuple[ExportFile, ExportFile]:
    """(the folder of the iPhone or of the camera, that of its images). Raises DataError where neither has
    any."""
    for place in (folder / "iphone", folder / "dslr", folder):
        for name in ("rgb", "resized_images"):
            if (place / name).is_dir():
                return place, place / name
    raise DataError(
        f"{folder}: neither iphone/rgb/ nor dslr/resized_images/; extract the iPhone's video by ScanNet++'s "
        "iphone/prepare_iphone_data.py, or download the images of the camera"
    )


def _posed(place: ExportFile) -> Iterator[Posed]:
    """The images that have a pose."""
    model, file = place / "colmap", place / "pose_intrinsic_imu.json"
    if model.is_dir():
        lenses = lenses_of(model)
        for view in views_of(model).values():
            if view.camera not in lenses:
                raise DataError(f"{model}: {view.name} has camera {view.camera}, which is not there")
            yield PurePosixPath(view.name).name, view.pose, lenses[view.camera]
        return
    for name, values in read_json(file).items():
        try:
            pose = np.array(values["aligned_pose"], np.float64).reshape(4, 4)
            intrinsics = np.array(values["intrinsic"], np.float64).reshape(3, 3)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise DataError(f"{file}: {name} lacks or garbles {error}; download it again") from error
        yield f"{name}.jpg", pose, intrinsics
