"""Frames -> a scan in the form that the reader `rgbd` reads."""

from __future__ import annotations

import io
import json
import os
import zlib
from collections.abc import Set
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from anyscene.arrays import B1, F4, U1
from anyscene.datasets import ply
from anyscene.datasets.agreement import Sample, completed, points_of, sample
from anyscene.datasets.colour_agreement import painted
from anyscene.datasets.contradictions import Findings, Judge, in_files
from anyscene.datasets.geometry import formats
from anyscene.datasets.geometry.geometry import Geometry
from anyscene.datasets.imports.export_options import by_options
from anyscene.datasets.imports.orientation import Capture
from anyscene.datasets.imports.source_frame import Depth, SourceFrame, load, quarters
from anyscene.datasets.left_out import NO_DEPTH, summary, usable
from anyscene.datasets.readings import Reading
from anyscene.errors import DataError, FrameError
from anyscene.project import outputs
from anyscene.project.progress import progress
from anyscene.scene import Camera, LeftOut, inverse, moved, scale_of

DEPTH_SCALE = 1000  # depth is written in millimetres
# Of its PNG, where nothing but runs of a byte is found: a fifth of the time of Pillow's default, for 0 to
# 13 % more bytes by ten maps of the demo at 640x480, with noise and without.
COMPRESSION = 3, zlib.Z_RLE  # level and strategy
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
    left_out: tuple[LeftOut, ...]
    remarks: tuple[str, ...]
    findings: Findings  # how far depth maps agree with each other and with the mesh

    def __str__(self) -> str:
        sizes = ", ".join(f"{width}x{height}" for width, height in self.sizes)
        done = {"images straightened": self.undistorted, "images turned upright": self.turned}
        said = [f"{self.depth} with depth", *(f"{count} {what}" for what, count in done.items() if count)]
        lines = [f"{self.frames} frames of {sizes}; {', '.join(said)}"]
        if self.left_out:
            lines.append(summary(self.left_out, self.frames + len(self.left_out)))
        return "\n".join([*lines, *self.remarks, *([str(self.findings)] if self.findings.record() else [])])


def check(out: Path) -> None:
    """Raise DataError where `out` exists, and OutputError where no folder can be made there."""
    if out.exists():
        raise DataError(f"{out}: exists; delete it or give another --out")
    outputs.check_folder(out)


def write(
    capture: Capture,
    out: Path,
    mesh: Path | None = None,
    refuse: bool = True,
    show_progress: bool = False,
) -> Summary:
    """Create the folder `out`, whole or not at all.

    mesh: a mesh or a cloud (`geometry.formats`) in the world of the export; None: that of the capture, if it
    has one. refuse: whether depth maps that were measured must not contradict each other, nor the mesh.
    show_progress: on stderr, while frames are written.
    Frames that are damaged, or lack depth where others have it, are left out. Raises DataError naming the
    file, where no camera looks at the mesh, where something is wrong with all frames, and as `check`;
    OutputError where the disk is full.
    """
    check(out)
    mesh = mesh or capture.mesh
    with_depth = any(frame.depth is not None for frame in capture.frames)
    if mesh is None and not with_depth:
        raise DataError(
            f"{capture.frames[0].color}: no depth, and no mesh: the points come from either; give --mesh, or "
            "export depth with every frame"
        )
    surface = None if mesh is None else _read_mesh(mesh, capture)
    findings = _findings(capture, surface, out, refuse)
    with outputs.replaced(out) as partial:
        for name in ("color", "pose", "intrinsics", *(("depth",) if with_depth else ())):
            (partial / name).mkdir(parents=True)
        with (
            ThreadPoolExecutor(os.cpu_count()) as pool,  # what decodes and encodes images holds no lock
            progress("frames written", len(capture.frames) if show_progress else 0) as advance,
        ):
            begun = [
                (frame.id, pool.submit(_write_frame, partial, frame, with_depth)) for frame in capture.frames
            ]

            def done(writing: Future[_Written]) -> _Written:
                try:
                    return writing.result()
                finally:
                    advance()

            written, damaged = usable(begun, done)
        _write_capture(partial, {frame.depth for frame in written if frame.depth is not None}, capture)
        if surface is not None:
            _write_mesh(partial / "mesh.ply", surface)
    return Summary(
        len(written),
        len(written) if with_depth else 0,
        sum(frame.undistorted for frame in written),
        sum(frame.turned for frame in written),
        tuple(sorted({frame.color for frame in written})),
        (*capture.left_out, *damaged),
        capture.remarks,
        findings,
    )


@dataclass(frozen=True)
class _Written:
    """What was written of a frame."""

    color: Size
    depth: Size | None
    undistorted: bool
    turned: bool


def _write_frame(folder: Path, frame: SourceFrame, with_depth: bool) -> _Written:
    """Write colour, depth, pose and intrinsics. Raises FrameError, before anything is written."""
    if with_depth and frame.depth is None:
        raise FrameError(f"{frame.color}: no depth, other frames have it; take those frames out", NO_DEPTH)
    id, picture = frame.id, load(frame)
    camera, undistorted, turned = picture.camera, frame.distorted, quarters(frame.camera) > 0
    if picture.depth is not None and frame.depth is not None:
        same = not undistorted and not turned and frame.depth.holds(1 / DEPTH_SCALE)
        _write_depth(folder / "depth" / f"{id}.png", picture.depth, frame.depth, same)
    copied = not undistorted and not frame.exif and not turned
    if copied and frame.color.suffix.lower() in (".jpg", ".jpeg", ".png"):
        (folder / "color" / (id + frame.color.suffix.lower())).write_bytes(frame.color.read_bytes())
    else:
        content = io.BytesIO()  # to a file of a full disk Pillow writes half a JPEG, without a word
        Image.fromarray(np.ascontiguousarray(picture.rgb)).save(content, "JPEG", quality=95, subsampling=0)
        (folder / "color" / f"{id}.jpg").write_bytes(content.getvalue())
    np.savetxt(folder / "pose" / f"{id}.txt", camera.pose, fmt="%.17g")
    np.savetxt(folder / "intrinsics" / f"{id}.txt", camera.intrinsics, fmt="%.9g")
    depth = None if picture.depth is None else (picture.depth.shape[1], picture.depth.shape[0])
    return _Written((camera.width, camera.height), depth, undistorted, turned)


def _write_capture(folder: Path, sizes: Set[Size], capture: Capture) -> None:
    """Write capture.json for depth maps of these sizes, with the way back to the export."""
    said: dict[str, Any] = {"scale": 1, "world": inverse(capture.world).tolist()}
    if capture.upright:
        said["up"] = [0, 0, 1]
    if capture.walls:
        said["walls"] = capture.walls
    if capture.remarks:
        said["remarks"] = list(capture.remarks)
    if sizes:
        one = next(iter(sizes)) if len(sizes) == 1 else None
        said |= {"depth_scale": DEPTH_SCALE, "depth_size": one or sorted(sizes)}
    (folder / "capture.json").write_text(json.dumps(said) + "\n", encoding="utf-8")


def _write_depth(path: Path, depth: F4, stored: Depth, same: bool) -> None:
    """Write a depth map. same: whether the file that is stored will do, which takes half of the time."""
    readings = depth[depth > 0]
    if not len(readings):
        raise FrameError(f"{stored.source}: has no reading; export it again", "depth without a reading")
    if not PLAUSIBLE[0] <= np.median(readings) <= PLAUSIBLE[1]:
        raise FrameError(
            f"{stored.source}: half of it is beyond {np.median(readings):.3g} m, which is no room; "
            f"check the unit (a step was taken for {stored.unit:g} m: --depth-unit, --scale for COLMAP)",
            "depth of no room",
        )
    if same:
        path.write_bytes(stored.source.read_bytes())
        return
    steps = np.where(depth > LARGEST, 0, np.rint(depth * DEPTH_SCALE)).astype(np.uint16)
    Image.fromarray(steps).save(path, compress_level=COMPRESSION[0], compress_type=COMPRESSION[1])


def _read_mesh(mesh: Path, capture: Capture) -> Geometry:
    """What a file of a mesh or a cloud holds, in the world of the frames. Raises DataError."""
    found = formats.read(mesh).moved(capture.world)
    if not any(frame.depth for frame in capture.frames):
        return found  # what images show of it tells more
    xyz = points_of(found.xyz, found.face)
    looked_at = np.zeros(len(xyz), bool)
    for frame in capture.frames:
        looked_at |= frame.camera.looks_at(xyz)
    if looked_at.mean() < LOOKED_AT:
        raise DataError(
            f"{mesh}: the cameras look at {100 * looked_at.mean():.0f} % of it; export it in the world of "
            "the poses, unaligned and unscaled"
        )
    return found


def _write_mesh(path: Path, surface: Geometry) -> None:
    """Write mesh.ply. What it lacks, colours and normals of points without faces, comes from the frames when
    it is read."""
    own: dict[str, F4] = {}
    if surface.normal is not None:
        own = dict(zip(("nx", "ny", "nz"), surface.normal.T, strict=True))
    ply.write_mesh(path, surface.xyz.astype(np.float32), surface.rgb, surface.face, (), **own)


@dataclass(frozen=True, eq=False)
class _Unwritten:
    """The depth of a frame, as it is going to be written but for turns."""

    frame: SourceFrame
    camera: Camera  # without distortion

    @property
    def id(self) -> str:
        return self.frame.id

    def read_depth(self) -> F4 | None:
        """f4[h, w]: metres along the camera's axis; None where the frame has none that can be read, so that
        it will be left out."""
        try:
            return self.frame.read_depth()
        except FrameError:
            return None

    def thumbnail(self, width: int) -> U1:
        """u1[h, w, 3]: the image without distortion, so many pixels wide. Raises FrameError."""
        return self.frame.thumbnail(width)


def _findings(capture: Capture, surface: Geometry | None, out: Path, refuse: bool) -> Findings:
    """How far the depth maps agree with each other and with the mesh. Raises DataError where they cannot be
    right and are to be refused."""
    unit = next((frame.depth.unit for frame in capture.frames if frame.depth is not None), None)
    reading = capture.reading or Reading(DEPTH_SCALE if unit is None else 1 / unit)
    correction = in_files if capture.reading is None else by_options
    judge = Judge(out.name, reading, correction, refuse and capture.measured)
    rigid = capture.world.copy()
    rigid[:3, :3] /= scale_of(rigid)
    back = inverse(rigid)  # to the axes of the export, of which readings speak

    def placed(frame: SourceFrame) -> _Unwritten:
        return _Unwritten(frame, frame.pinhole.moved(back))

    frames = usable([(frame.id, frame) for frame in capture.frames], placed)[0]
    read = taken = sample(frames)
    if taken is not None:
        plausible = _plausible(taken)
        # The others will be left out. Where all are odd, options that say how they are meant may be wrong;
        # but where all that is seen is one distance, something covers the lens.
        if plausible.any() or capture.reading is None or not np.ptp(taken.metres, axis=1).any():
            taken = taken.of(plausible)
    findings = judge.frames(taken)
    if surface is not None:
        points = moved(points_of(surface.xyz, surface.face), back)
        findings = judge.surface(taken, points, findings)
        if not any(frame.frame.depth for frame in frames):
            xyz = moved(surface.xyz, back)
            return judge.painted(painted(xyz, surface.face, surface.rgb, frames), findings)
    if read is None or taken is None:
        return findings
    whole = completed(read, frames)
    kept = whole.of(_plausible(whole))
    findings = judge.images(taken, frames, judge.each(kept, findings))
    return judge.filled(taken, judge.apart(kept, len(frames), findings))


def _plausible(taken: Sample) -> B1:
    """b1[K]: whether half of a frame's depth is not beyond that of a room, so that it is not left out."""
    median = np.median(taken.metres, axis=1)
    return (median >= PLAUSIBLE[0]) & (median <= PLAUSIBLE[1])
