"""Frames from the world of their export to metres, z up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from anyscene.arrays import F8
from anyscene.datasets.imports.export_options import IMAGES
from anyscene.datasets.imports.source_frame import ExportFile, SourceFrame
from anyscene.datasets.left_out import summary
from anyscene.datasets.readings import Reading
from anyscene.errors import DataError
from anyscene.scene import LeftOut

TILT = np.sin(np.radians(15))  # how far from level images held by hand may lie on the whole
SPREAD = np.sin(np.radians(10))  # how far apart their right edges must point to tell what is level
CONTRADICTION = np.cos(np.radians(45))


@dataclass(frozen=True, eq=False)
class Capture:
    """Frames in metres, z up."""

    frames: tuple[SourceFrame, ...]
    world: F8  # f8[4,4], from the world of the export to that of the frames
    left_out: tuple[LeftOut, ...] = ()
    remarks: tuple[str, ...] = ()  # what else a user should know
    mesh: Path | None = None  # a PLY file of the export, in its world
    reading: Reading | None = None  # how its numbers were taken, where options may say otherwise


def oriented(
    source_frames: Sequence[SourceFrame],
    source: ExportFile,
    up: F8 | str,
    scale: float = 1.0,
    left_out: Sequence[LeftOut] = (),
    remarks: Sequence[str] = (),
    mesh: Path | None = None,
) -> Capture:
    """The frames, turned by the smallest angle that makes `up` +z.

    up: f8[3] in their world, or IMAGES. scale: metres in a unit of their world.

    Raises DataError naming `source` where the images are to say what is up and do not, and where they clearly
    contradict `up`.
    """
    if not source_frames:
        why = summary(left_out, len(left_out)) if left_out else "there is none"
        raise DataError(f"{source}: no frame that can be taken ({why}); export it again")
    seen = vertical(np.array([frame.camera.pose for frame in source_frames]))
    if isinstance(up, str):
        if seen is None:
            raise DataError(
                f"{source}: the images do not agree on what is up (--up {IMAGES}): they must be held level "
                "and look in several directions; give --up as an axis or a vector"
            )
        up = seen
    up = np.asarray(up / np.linalg.norm(up))
    if seen is not None and abs(seen @ up) < CONTRADICTION:
        raise DataError(
            f"{source}: up would be {_text(up)}, but the images are level about {_text(seen)}; "
            f"give --up {IMAGES}, or --up as an axis or a vector"
        )
    world = np.eye(4)
    world[:3, :3] = scale * Rotation.align_vectors([0, 0, 1], up)[0].as_matrix()
    moved = tuple(_moved(frame, world, scale) for frame in source_frames)
    return Capture(moved, world, tuple(left_out), tuple(remarks), mesh)


def vertical(poses: F8) -> F8 | None:
    """f8[3]: the unit direction that is perpendicular to the right edges of the images and points up in most,
    for poses f8[N,4,4] (OpenCV axes). None where there is no such direction or more than one: some images lie
    on their side, or all look the same way. How far each looks up or down does not matter."""
    right, up = poses[:, :3, 0], -poses[:, :3, 1]
    share, axis = np.linalg.eigh(right.T @ right / len(poses))
    if share[0] > TILT**2 or share[1] < SPREAD**2 or share[1] < 4 * share[0]:
        return None
    height = up @ axis[:, 0]
    sign = np.sign(np.median(height))
    return sign * axis[:, 0] if np.quantile(sign * height, 0.1) > 0.2 else None


def _moved(frame: SourceFrame, world: F8, scale: float) -> SourceFrame:
    pose = world @ frame.camera.pose
    pose[:3, :3] /= scale
    return replace(frame, camera=replace(frame.camera, pose=pose))


def _text(vector: F8) -> str:
    return ",".join(f"{round(value, 2) + 0:.2f}" for value in vector)
