"""Frames from the world of their export to metres near the origin, z up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from anyscene.arrays import F8
from anyscene.datasets import placement
from anyscene.datasets.imports.source_frame import ExportFile, SourceFrame
from anyscene.datasets.left_out import summary
from anyscene.datasets.readings import POSES, Reading
from anyscene.datasets.up import IMAGES, vertical
from anyscene.datasets.walls import Walls
from anyscene.errors import DataError
from anyscene.scene import LeftOut

CONTRADICTION = np.cos(np.radians(45))


@dataclass(frozen=True, eq=False)
class Capture:
    """Frames in metres, z up."""

    frames: tuple[SourceFrame, ...]
    world: F8  # f8[4,4], from the world of the export to that of the frames
    upright: bool = True  # whether a person or the format says what is up, or the images were asked
    left_out: tuple[LeftOut, ...] = ()
    remarks: tuple[str, ...] = ()  # what else a user should know
    mesh: Path | None = None  # a mesh or a cloud of the export, in its world
    measured: bool = True  # whether its depth was; what is estimated may contradict itself
    reading: Reading | None = None  # how its numbers were taken, where options may say otherwise
    # by the ids of frames: f8[n, 3], points of the export that the image sees, in the world of the frames;
    # only where depth is to be estimated
    seen: Mapping[str, F8] = field(default_factory=dict)
    walls: Walls | None = None  # what is to become of them, for the reader of the scan


def oriented(
    source_frames: Sequence[SourceFrame],
    source: ExportFile,
    up: F8 | str,
    numbers: Reading | float = 1.0,
    left_out: Sequence[LeftOut] = (),
    remarks: Sequence[str] = (),
    mesh: ExportFile | None = None,
    sure: bool = True,
) -> Capture:
    """The frames, turned by the smallest angle that makes `up` +z. Where they lie far from the origin, as by
    coordinates of a map, they are moved there.

    up: f8[3] in their world, or IMAGES. numbers: how those of the frames were taken, where options may say
    otherwise; else the metres in a unit of their world. mesh: of the same world; an archive's is not taken.
    sure: whether `up` is said by a person or the format; else what reads the scan may find that it is not.

    Raises DataError naming `source` where the images are to say what is up and do not, and where they clearly
    contradict `up`.
    """
    if not source_frames:
        why = summary(left_out, len(left_out)) if left_out else "there is none"
        raise DataError(f"{source}: no frame that can be taken ({why}); export it again")
    reading = numbers if isinstance(numbers, Reading) else None
    scale = numbers.scale if isinstance(numbers, Reading) else numbers
    poses = np.array([frame.camera.pose for frame in source_frames])
    seen = vertical(poses)
    if isinstance(up, str):
        if seen is None:
            said = "they must be held level and look in several directions; give --up as an axis or a vector"
            if reading is not None and vertical(np.linalg.inv(poses)) is not None:
                other = next(way for way in POSES if way != reading.poses)
                said = f"they would with --poses {other}; give that, or --up as an axis or a vector"
            raise DataError(f"{source}: the images do not agree on what is up (--up {IMAGES}): {said}")
        up = seen
        angle = np.degrees(np.arccos(np.clip(seen[2], -1, 1)))
        if angle > placement.SMALL:
            remarks = (*remarks, f"turned by {angle:.0f} degrees: its images say that up is {_text(seen)}")
    up = np.asarray(up / np.linalg.norm(up))
    if seen is not None and abs(seen @ up) < CONTRADICTION:
        raise DataError(
            f"{source}: up would be {_text(up)}, but the images are level about {_text(seen)}; "
            f"give --up {IMAGES}, or --up as an axis or a vector"
        )
    centres = np.array([frame.camera.pose[:3, 3] for frame in source_frames])
    step = placement.near(str(source), centres, placement.Said(scale), sized=False)
    world = placement.turn(up) @ step
    moved = tuple(replace(frame, camera=frame.camera.moved(world)) for frame in source_frames)
    on_disk = mesh if isinstance(mesh, Path) and mesh.is_file() else None
    return Capture(moved, world, sure, tuple(left_out), tuple(remarks), on_disk, reading=reading)


def _text(vector: F8) -> str:
    return ",".join(f"{round(value, 2) + 0:.2f}" for value in vector)
