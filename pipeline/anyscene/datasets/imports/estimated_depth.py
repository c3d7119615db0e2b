"""Depth that a 2D model estimates, for exports that have none. What an export has makes it metric: sparse
points that images see, or the ways that its cameras went.

Nothing of it is measured, so it is off unless a person asks for it, and every reader of the scan says so.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageOps

from anyscene.arrays import B1, F4, F8, I8
from anyscene.datasets.imports.export_options import DepthModel
from anyscene.datasets.imports.orientation import Capture
from anyscene.datasets.imports.source_frame import Depth, ExportFile, Picture, SourceFrame, load
from anyscene.errors import DataError
from anyscene.scene import Camera, LeftOut, inverse, moved

NO_SCALE = "scale of estimated depth not told"
ENOUGH = 8  # points of an image by which its scale is told
OFF = 0.2  # the most that half of them may be off, as a share of their depth
FARTHEST = 50.0  # metres; a model's sky is no reading
FACTORS = np.exp(np.linspace(-np.log(4), np.log(4), 101))  # of metres, 2.8 % from one to the next
AGREE = 0.1  # how far apart frames may be at the best factor, as a share of the depth
MOST_OFF = 0.3  # a share of the depth beyond which it does not matter how far
COMMON = 0.2  # the least share of the pixels of a frame that another has in its image
PAIRS, RAYS = 24, 400  # pairs of frames, and pixels of each, by which a factor is told
APART = (0.3, 1.5)  # metres between the cameras of a pair: less tells no depth, more shows other things


@dataclass(frozen=True, eq=False)
class _Estimate:
    """Reads the depth of an image, as `Depth.read` does."""

    model: DepthModel
    exif: bool  # whether the image is turned as its EXIF orientation says
    scale: float | None = None  # None: what the model gives, as it is
    shift: float = 0.0

    def __call__(self, source: ExportFile) -> F4:
        with Image.open(io.BytesIO(source.read_bytes())) as image:
            seen = ImageOps.exif_transpose(image) if self.exif else image
            found = self.model(np.asarray(seen.convert("RGB")))
        if self.scale is None:
            return found
        if self.model.metric:
            return np.where(self.scale * found <= FARTHEST, self.scale * found, 0).astype(np.float32)
        inverse_depth = self.scale * found + self.shift
        with np.errstate(divide="ignore"):
            return np.where(inverse_depth * FARTHEST >= 1, 1 / inverse_depth, 0).astype(np.float32)


def added(capture: Capture, model: DepthModel) -> Capture:
    """The capture with an estimated depth for each frame, made metric by the points that its images see.
    Frames of which these do not tell the scale are left out.

    Without such points the model must give metres, and one factor for all frames is found by which they agree
    best on what is where. Raises DataError where a frame has depth already, and where neither tells the
    scale.
    """
    if not capture.frames:
        return capture
    first = capture.frames[0]
    if any(frame.depth is not None for frame in capture.frames):
        raise DataError(f"{first.color}: has depth; --estimate-depth is for exports without")
    raw = {frame.id: _with(frame, _Estimate(model, frame.exif)) for frame in capture.frames}
    if capture.seen:
        told = {id: _by_points(load(frame), capture.seen.get(id), model.metric) for id, frame in raw.items()}
    elif model.metric:
        every = list(raw.values())
        factor = by_baseline([frame.camera for frame in every], lambda index: _view(every[index]))
        told = dict.fromkeys(raw, None if factor is None else (factor, 0.0))
    else:
        raise DataError(
            f"{first.color}: {model.name} gives no metres, and the export has no points to tell them by; "
            "take a metric model"
        )
    frames, lost = [], []
    for frame in capture.frames:
        found = told[frame.id]
        if found is None:
            lost.append(LeftOut(frame.id, NO_SCALE))
        else:
            frames.append(_with(frame, _Estimate(model, frame.exif, *found)))
    if not frames:
        raise DataError(
            f"{first.color}: the depth that {model.name} estimates fits neither points nor other frames; "
            "export depth, or give --mesh"
        )
    said = f"depth is an estimate of {model.name}, not measured: edges, mirrors and far things are off"
    return replace(
        capture,
        frames=tuple(frames),
        left_out=(*capture.left_out, *lost),
        remarks=(*capture.remarks, said),
        measured=False,
    )


def by_points(found: F4, depth: F8, metric: bool) -> tuple[float, float] | None:
    """(scale, shift) by which what a model gave at some pixels, f4[n], becomes the depth f8[n] there in
    metres, or 1 / depth where it gives no metres. None where there are too few pixels, and where half of them
    are further off than OFF.

    The scale of metres is a median. The line of 1 / depth has the median slope of pairs of pixels, of which
    one is in the lower half by the model and the other in the upper (Theil and Sen), so that a fifth of the
    points may be anywhere.
    """
    if len(found) < ENOUGH:
        return None
    x, shift = found.astype(np.float64), 0.0
    if metric:
        scale = float(np.median(depth / x))
        told = scale * x
    else:
        order, half = np.argsort(x), len(x) // 2
        low, high = order[:half], order[-half:]
        apart = x[high] > x[low]
        if not apart.any():
            return None
        slope = (1 / depth[high] - 1 / depth[low])[apart] / (x[high] - x[low])[apart]
        scale = float(np.median(slope))
        shift = float(np.median(1 / depth - scale * x))
        told = 1 / np.maximum(scale * x + shift, 1 / FARTHEST)
    if scale <= 0 or np.median(np.abs(told / depth - 1)) > OFF:
        return None
    return scale, shift


def by_baseline(cameras: Sequence[Camera], view: Callable[[int], tuple[Camera, F4]]) -> float | None:
    """The factor for metric depth by which frames agree best on what is where: because the ways between
    cameras are known, two frames agree at one factor alone. None where no camera went any way, and where
    frames agree on little at any factor.

    view: returns the camera of the frame with that index, and its depth f4[H, W]; it is asked for a few.
    """
    pairs = _pairs(cameras)
    if not pairs:
        return None
    off = np.mean([_off(view(one), view(other)) for one, other in pairs], 0)
    return float(FACTORS[off.argmin()]) if off.min() <= AGREE else None


def _with(frame: SourceFrame, read: _Estimate) -> SourceFrame:
    return replace(frame, depth=Depth(frame.color, 1.0, read))


def _view(frame: SourceFrame) -> tuple[Camera, F4]:
    picture = load(frame)
    assert picture.depth is not None  # the frame has an estimate
    return picture.camera, picture.depth


def _by_points(picture: Picture, points: F8 | None, metric: bool) -> tuple[float, float] | None:
    if points is None or picture.depth is None:
        return None
    height, width = picture.depth.shape
    camera = picture.camera.resized(width, height)
    row, column, depth, inside = _pixels(camera, points)
    found = picture.depth[row[inside], column[inside]]
    there = found > 0
    return by_points(found[there], depth[inside][there], metric)


def _pixels(camera: Camera, points: F8) -> tuple[I8, I8, F8, B1]:
    """(row i8[n], column i8[n], depth f8[n] along the axis, inside b1[n]) of points f8[n, 3]; row and column
    are 0 where they lie outside of the image."""
    x, y, z = moved(points, inverse(camera.pose)).T
    with np.errstate(divide="ignore", invalid="ignore"):
        u = np.rint(x * camera.intrinsics[0, 0] / z + camera.intrinsics[0, 2])
        v = np.rint(y * camera.intrinsics[1, 1] / z + camera.intrinsics[1, 2])
    inside = (z > 0) & (u >= 0) & (u < camera.width) & (v >= 0) & (v < camera.height)
    row, column = (np.where(inside, value, 0).astype(np.int64) for value in (v, u))
    return row, column, z, inside


def _pairs(cameras: Sequence[Camera]) -> list[tuple[int, int]]:
    """Pairs of frames, each with the next of which the camera went as far as APART."""
    centre = np.array([camera.pose[:3, 3] for camera in cameras]).reshape(-1, 3)
    found = []
    for one in range(len(cameras)):
        way = np.linalg.norm(centre[one + 1 :] - centre[one], axis=1)
        far = np.flatnonzero((way >= APART[0]) & (way <= APART[1]))
        if len(far):
            found.append((one, one + 1 + int(far[0])))
    return found[:: max(1, len(found) // PAIRS)]


def _off(one: tuple[Camera, F4], other: tuple[Camera, F4]) -> F8:
    """f8[len(FACTORS)]: how far the other frame is from what one sees in its image, under each factor: the
    median of the shares of the depth, at most MOST_OFF; MOST_OFF where they see hardly anything in common."""
    (camera, depth), (second, measured) = one, other
    row, column = np.nonzero(depth > 0)
    step = max(1, len(row) // RAYS)
    row, column = row[::step], column[::step]
    own = camera.resized(depth.shape[1], depth.shape[0])
    x = (column - own.intrinsics[0, 2]) / own.intrinsics[0, 0]
    y = (row - own.intrinsics[1, 2]) / own.intrinsics[1, 1]
    place = np.stack([x, y, np.ones(len(row))], 1) * depth[row, column][:, None]
    there = second.resized(measured.shape[1], measured.shape[0])
    found = []
    for factor in FACTORS:
        r, c, z, inside = _pixels(there, moved(factor * place, own.pose))
        reading = factor * measured[r[inside], c[inside]]
        off = (np.abs(reading - z[inside]) / z[inside])[reading > 0]
        common = len(off) >= max(ENOUGH, COMMON * len(row))
        found.append(min(float(np.median(off)), MOST_OFF) if common else MOST_OFF)
    return np.array(found)
