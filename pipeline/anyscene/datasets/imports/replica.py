"""Renderings of Replica, in the form of iMAP and NICE-SLAM, or of Semantic-NeRF:

    FOLDER/results/frame000000.jpg, depth000000.png    FOLDER/rgb/rgb_0.png, FOLDER/depth/depth_0.png
    FOLDER/traj.txt                                    FOLDER/traj_w_c.txt
    FOLDER/../cam_params.json                          a field of view of 90 degrees
    6553.5 steps a metre                               millimetres

A line of the trajectory is a camera-to-world matrix of 16 numbers, row by row, OpenCV axes, z up, metres. The
mesh FOLDER_mesh.ply beside the folder is taken where it is there.

Sources: cvg/nice-slam, src/utils/datasets.py and configs/Replica/replica.yaml, its issues 70 and 108;
Harry-Zhi/semantic_nerf, issue 6 (axes and up) and SSR/datasets/replica.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from anyscene.arrays import F8
from anyscene.datasets.imports.archive import above, matching, read_json
from anyscene.datasets.imports.export_options import ExportOptions
from anyscene.datasets.imports.orientation import Capture, oriented
from anyscene.datasets.imports.source_frame import Depth, ExportFile, SourceFrame, framed, image_size
from anyscene.datasets.imports.text_files import table
from anyscene.datasets.left_out import NO_DEPTH, NO_POSE, usable
from anyscene.datasets.raw_files import placed
from anyscene.errors import DataError, FrameError

MARKS = ("traj.txt", "traj_w_c.txt")
REMEDY = "give the folder of a room, with traj.txt and results/"
UP = np.array([0.0, 0.0, 1.0])
NUMBER = re.compile(r"(\d+)\.\w+$")


@dataclass(frozen=True, eq=False)
class _Camera:
    intrinsics: F8  # f8[3,3], pixel centres on whole numbers
    size: tuple[int, int] | None  # of its images, None: of theirs
    unit: float  # metres in a step of depth


IMAP = _Camera(np.array([[600.0, 0, 599.5], [0, 600, 339.5], [0, 0, 1]]), (1200, 680), 1 / 6553.5)


def read(folder: ExportFile, options: ExportOptions) -> Capture:
    """The frames by their numbers. Raises DataError naming the file."""
    nice = (folder / MARKS[0]).is_file()
    path = folder / MARKS[0 if nice else 1]
    poses = table(path, 16).reshape(-1, 4, 4)
    marks = ("results/frame*", "results/depth*") if nice else ("rgb/rgb*", "depth/depth*")
    colors, depths = (_numbered(folder, mark) for mark in marks)
    if not colors:
        raise DataError(f"{folder / marks[0]}: no image; {REMEDY}")
    camera = _nice_camera(folder) if nice else _semantic_camera(next(iter(colors.values())))
    unit = options.depth_unit or camera.unit
    reading = options.reading(unit)
    # Where some were deleted, a frame's number is its line; where they count from 1, its place is.
    order = {number: place for place, number in enumerate(colors)}
    line = order if len(poses) == len(colors) else {number: number for number in colors}

    def frame(number: int) -> SourceFrame:
        if line[number] >= len(poses):
            raise FrameError(f"{path}: {len(poses)} poses, none for frame {number}", NO_POSE)
        if number not in depths:
            raise FrameError(f"{colors[number]}: has no depth; add it or delete the frame", NO_DEPTH)
        depth = Depth(depths[number], unit, form=reading.depth_form)
        where = f"{path}: line {line[number] + 1}"
        pose = placed(reading, poses[line[number]], where)
        return framed(f"{number:06d}", colors[number], depth, pose, camera.intrinsics, camera.size, where)

    source_frames, left_out = usable([(f"{number:06d}", number) for number in colors], frame)
    up = UP if options.up is None else options.up
    return oriented(source_frames, folder, up, reading, left_out, mesh=Path(f"{folder}_mesh.ply"))


def _numbered(folder: ExportFile, mark: str) -> dict[int, ExportFile]:
    """The files by the number that their names end in, in its order."""
    found = [(NUMBER.search(file.name), file) for file in matching(folder, mark)]
    numbered = [(int(number[1]), file) for number, file in found if number]
    return dict(sorted(numbered, key=lambda one: one[0]))


def _nice_camera(folder: ExportFile) -> _Camera:
    for place in (folder, above(folder)):
        if not (path := place / "cam_params.json").is_file():
            continue
        try:
            values = read_json(path)["camera"]
            fx, fy, cx, cy, scale = (float(values[name]) for name in ("fx", "fy", "cx", "cy", "scale"))
            size = int(values["w"]), int(values["h"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise DataError(f"{path}: camera lacks or garbles {error}; export it again") from error
        return _Camera(np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]), size, 1 / scale)
    return IMAP


def _semantic_camera(color: ExportFile) -> _Camera:
    width, height = image_size(color)
    focal = width / 2  # of 90 degrees
    intrinsics = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])
    return _Camera(intrinsics, (width, height), 0.001)
