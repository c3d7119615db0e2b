"""Frames -> a scan in the form that the reader `rgbd` reads."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from anyscene.arrays import F4
from anyscene.datasets import ply
from anyscene.datasets.geometry import formats
from anyscene.datasets.imports.orientation import Capture
from anyscene.datasets.imports.source_frame import Depth, SourceFrame, load, quarters
from anyscene.errors import DataError
from anyscene.scene import inverse

DEPTH_SCALE = 1000  # depth is written in millimetres
LARGEST = np.iinfo(np.uint16).max / DEPTH_SCALE
PLAUSIBLE = (0.1, 50.0)  # metres; a generous range for the median depth of a room
LOOKED_AT = 0.1  # the least share of a mesh's vertices that the cameras look at

Size = tuple[int, int]  # width, height


@dataclass(frozen=True)
class Summary:
    """What was written, and the numbers of frames that had to be changed."""

    frames: int
    depth: int
    undistorted: int
    turned: int
    sizes: tuple[Size, ...]  # of colour images
    left_out: tuple[str, ...]
    remarks: tuple[str, ...]

    def __str__(self) -> str:
        sizes = ", ".join(f"{width}x{height}" for width, height in self.sizes)
        lines = [
            f"{self.frames} frames of {sizes}; {self.depth} with depth, {self.undistorted} without their "
            f"distortion, {self.turned} turned upright"
        ]
        if self.left_out:
            more = "; ..." if len(self.left_out) > 3 else ""
            lines.append(f"left out {len(self.left_out)}: {'; '.join(self.left_out[:3])}{more}")
        return "\n".join([*lines, *self.remarks])


def write(capture: Capture, out: Path, mesh: Path | None = None) -> Summary:
    """Create the folder `out`, whole or not at all.

    mesh: a mesh or a cloud (`geometry.formats`) in the world of the export. Raises DataError naming the file,
    where `out` exists, and where no camera looks at the mesh.
    """
    source_frames = capture.frames
    if out.exists():
        raise DataError(f"{out}: exists; delete it or give another --out")
    with_depth = [frame for frame in source_frames if frame.depth is not None]
    if mesh is None and len(with_depth) < len(source_frames):
        lacking = next(frame for frame in source_frames if frame.depth is None)
        raise DataError(
            f"{lacking.color}: no depth, and no mesh: the points come from either; give --mesh, or export "
            "depth with every frame"
        )
    if with_depth and len(with_depth) < len(source_frames):
        lacking = next(frame for frame in source_frames if frame.depth is None)
        raise DataError(f"{lacking.color}: no depth, other frames have it; take those frames out")
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        for name in ("color", "pose", "intrinsics", *(("depth",) if with_depth else ())):
            (partial / name).mkdir(parents=True)
        written = {frame.id: _write_frame(partial, frame) for frame in source_frames}
        _write_capture(partial, written, capture)
        if mesh is not None:
            _write_mesh(partial / "mesh.ply", mesh, capture)
        os.replace(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Summary(
        len(source_frames),
        len(with_depth),
        sum(any(frame.distortion) for frame in source_frames),
        sum(quarters(frame.camera) > 0 for frame in source_frames),
        tuple(sorted({color for color, _ in written.values()})),
        capture.left_out,
        capture.remarks,
    )


def _write_frame(folder: Path, frame: SourceFrame) -> tuple[Size, Size | None]:
    """Write colour, depth, pose and intrinsics; returns the sizes of colour and depth."""
    id, picture = frame.id, load(frame)
    camera = picture.camera
    copied = not any(frame.distortion) and not frame.exif and not quarters(frame.camera)
    if copied and frame.color.suffix.lower() in (".jpg", ".jpeg", ".png"):
        (folder / "color" / (id + frame.color.suffix.lower())).write_bytes(frame.color.read_bytes())
    else:
        Image.fromarray(np.ascontiguousarray(picture.rgb)).save(
            folder / "color" / f"{id}.jpg", quality=95, subsampling=0
        )
    if picture.depth is not None and frame.depth is not None:
        _write_depth(folder / "depth" / f"{id}.png", picture.depth, frame.depth)
    np.savetxt(folder / "pose" / f"{id}.txt", camera.pose, fmt="%.17g")
    np.savetxt(folder / "intrinsics" / f"{id}.txt", camera.intrinsics, fmt="%.9g")
    depth = None if picture.depth is None else picture.depth.shape[::-1]
    return (camera.width, camera.height), depth


def _write_capture(folder: Path, written: Mapping[str, tuple[Size, Size | None]], capture: Capture) -> None:
    """Write capture.json, with the way back to the export. It has one size for all depth maps: where they
    differ, each is resized to its colour image by nearest samples."""
    said: dict[str, Any] = {"scale": 1, "world": inverse(capture.world).tolist()}
    if capture.upright:
        said["up"] = [0, 0, 1]
    if capture.remarks:
        said["remarks"] = list(capture.remarks)
    sizes = {depth for _, depth in written.values() if depth is not None}
    if sizes:
        said["depth_scale"] = DEPTH_SCALE
    if len(sizes) == 1:
        said["depth_size"] = sizes.pop()
    elif sizes:
        for id, (color, _) in written.items():
            path = folder / "depth" / f"{id}.png"
            with Image.open(path) as image:
                image.resize(color, Image.Resampling.NEAREST).save(path)
    (folder / "capture.json").write_text(json.dumps(said) + "\n")


def _write_depth(path: Path, depth: F4, stored: Depth) -> None:
    readings = depth[depth > 0]
    if len(readings) and not PLAUSIBLE[0] <= np.median(readings) <= PLAUSIBLE[1]:
        raise DataError(
            f"{stored.source}: half of it is beyond {np.median(readings):.3g} m, which is no room; "
            f"check the unit (a step was taken for {stored.unit:g} m: --depth-unit, --scale for COLMAP)"
        )
    steps = np.where(depth > LARGEST, 0, np.rint(depth * DEPTH_SCALE)).astype(np.uint16)
    Image.fromarray(steps).save(path)


def _write_mesh(path: Path, mesh: Path, capture: Capture) -> None:
    """Write mesh.ply. What it lacks, colours and normals of points without faces, comes from the frames when
    it is read."""
    found = formats.read(mesh).moved(capture.world)
    xyz = found.xyz.astype(np.float32)
    looked_at = np.zeros(len(xyz), bool)
    for frame in capture.frames:
        looked_at |= frame.camera.looks_at(xyz)
    if looked_at.mean() < LOOKED_AT:
        raise DataError(
            f"{mesh}: the cameras look at {100 * looked_at.mean():.0f} % of it; export it in the world of "
            "the poses, unaligned and unscaled"
        )
    own: dict[str, F4] = {}
    if found.normal is not None:
        own = dict(zip(("nx", "ny", "nz"), found.normal.T, strict=True))
    ply.write_mesh(path, xyz, found.rgb, found.face, (), **own)
