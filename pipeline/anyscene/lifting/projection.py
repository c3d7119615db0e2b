"""Projection: 2D features onto the points that the views see (method.md §2 and §3).

The cost of a view is never points x channels: only visible points are touched, and a feature map is read only
at their pixels. Of masks, captions are counted, and the counts are multiplied by the captions' embeddings
once at the end.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch
from scipy import sparse

from anyscene.arrays import F4, F8, I4, I8, U1, U2, Floats
from anyscene.errors import ProjectionError
from anyscene.project.caption_counts import CaptionCounts
from anyscene.project.device import Batches
from anyscene.resizing import Resize
from anyscene.scene import Camera, Frame
from anyscene.segmenters.protocol import CaptionMap, FeatureMap, Segmenter

PENDING = 1 << 22  # sightings of captions that are kept before they are added up
SAMPLED = 1 << 14  # points whose features a GPU reads at a time

Encode = Callable[[Sequence[str]], F4]  # K texts -> f4[K, C]
Block = tuple[F4, U2]  # mean feature f4[n, C], number of views u2[n]


@dataclass(frozen=True, eq=False)
class DescribedFrame:
    """A frame as a 2D model describes it."""

    camera: Camera
    depth: F4 | None  # f4[H, W] in metres, of the size of the camera; None where the scan has none
    map: FeatureMap | CaptionMap  # what the model says


def described_frames(
    frames: Sequence[Frame],
    segmenter: Segmenter,
    vocabulary: Sequence[str],
    size: tuple[int, int],
    batch: int,
    resize: Resize = "antialiased",
) -> Iterator[DescribedFrame]:
    """Yield the frames, resized to `size` (width, height), as the 2D model describes them.

    `batch` frames are described at a time, or fewer where the memory of a GPU does not suffice; meanwhile the
    next ones are read.
    """
    batches = Batches(batch, "segmenters.batch")
    groups = [frames[start : start + batch] for start in range(0, len(frames), batch)]
    with ThreadPoolExecutor(1) as reader:
        reading = reader.submit(_read, groups[0], size, resize) if groups else None
        for group, following in itertools.zip_longest(groups, groups[1:]):
            assert reading is not None  # because there is a group
            colors, depths = reading.result()
            reading = reader.submit(_read, following, size, resize) if following else None
            found = batches(lambda some: segmenter.describe(some, vocabulary), colors)
            maps = (one for some in found for one in some)
            for frame, depth, described in zip(group, depths, maps, strict=True):
                yield DescribedFrame(frame.camera.resized(*size), depth, described)


def _read(frames: Sequence[Frame], size: tuple[int, int], resize: Resize) -> tuple[U1, list[F4 | None]]:
    """(colours u1[B, H, W, 3], the depth of each frame)."""
    depths = [frame.read_depth(size, resize) for frame in frames]
    return np.stack([frame.read_color(size, resize) for frame in frames]), depths


def visible_pixels(
    xyz: Floats, camera: Camera, depth: Floats | None = None, *, tolerance: float, border: int
) -> tuple[I8, I4, I4]:
    """The points that a camera sees, and the pixel of each.

    xyz: f4|f8[N, 3] in the world, metres. depth: f4|f8[H, W] in metres, 0 = no reading; None: occlusion is
    not tested. A point is seen where z > 0, its pixel (rounded, halves to even) lies at least `border` pixels
    inside the image, and |depth - z| <= tolerance * depth. With tolerance < 1 these are the points that
    OpenScene's PointCloudToImageMapper finds.

    Returns (point i8[V] ascending, row i4[V], column i4[V]). Raises ProjectionError where the sizes of depth
    and camera differ.

    >>> intrinsics = np.array([[100, 0, 50], [0, 100, 40], [0, 0, 1]])
    >>> camera = anyscene.Camera(intrinsics, np.eye(4), width=101, height=81)
    >>> ahead, right, behind = [0, 0, 2], [0.5, 0, 2], [0, 0, -2]
    >>> point, row, column = anyscene.visible_pixels(
    ...     np.array([ahead, right, behind]), camera, tolerance=0.1, border=0
    ... )
    >>> point.tolist(), row.tolist(), column.tolist()
    ([0, 1], [40, 40], [50, 75])
    """
    tested = depth is not None
    if depth is None:
        depth = np.empty((0, 0), np.float32)
    elif depth.shape != (camera.height, camera.width):
        raise ProjectionError(
            f"depth is {depth.shape[1]}x{depth.shape[0]}, the image {camera.width}x{camera.height}: "
            "resize one of them"
        )
    return _visible(
        np.ascontiguousarray(xyz),
        np.linalg.inv(camera.pose),
        camera.intrinsics,
        camera.width,
        camera.height,
        np.ascontiguousarray(depth),
        tested,
        depth.dtype.type(tolerance),  # the product has the precision of depth
        border,
    )


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _visible(
    xyz: Floats,
    m: Floats,
    intrinsics: F8,
    width: int,
    height: int,
    depth: Floats,
    tested: bool,
    tolerance: np.floating[Any],
    border: int,
) -> tuple[I8, I4, I4]:
    """m: [4, 4], world to camera. All is computed in double precision, in whichever xyz is stored."""
    point = np.empty(len(xyz), np.int64)
    row, column = np.empty(len(xyz), np.int32), np.empty(len(xyz), np.int32)
    seen = 0
    for i in range(len(xyz)):
        x, y, z = np.float64(xyz[i, 0]), np.float64(xyz[i, 1]), np.float64(xyz[i, 2])
        ahead = m[2, 0] * x + m[2, 1] * y + m[2, 2] * z + m[2, 3]
        if not ahead > 0:
            continue
        u = (m[0, 0] * x + m[0, 1] * y + m[0, 2] * z + m[0, 3]) * intrinsics[0, 0] / ahead + intrinsics[0, 2]
        v = (m[1, 0] * x + m[1, 1] * y + m[1, 2] * z + m[1, 3]) * intrinsics[1, 1] / ahead + intrinsics[1, 2]
        u, v = np.rint(u), np.rint(v)
        if not (border <= u < width - border and border <= v < height - border):
            continue
        r, c = np.int32(v), np.int32(u)
        if tested and not abs(depth[r, c] - ahead) <= tolerance * depth[r, c]:
            continue
        point[seen], row[seen], column[seen] = i, r, c
        seen += 1
    return point[:seen].copy(), row[:seen].copy(), column[:seen].copy()


def project(
    xyz: F4,
    described: Iterable[DescribedFrame],
    encode: Encode,
    *,
    tolerance: float,
    border: int,
    rows: int | None = None,
    spool: Path | None = None,
) -> Iterator[Block]:
    """Yield the mean of a model's features at the pixels of a point, over the views that see the point.

    The options are those of `lift`. A block is (feature f4[n, C], not normalised; count u2[n], the number of
    views). A point that no view sees has count 0 and the feature 0; all are so where a model finds nothing in
    any frame. Raises ProjectionError as `lift` does.
    """
    lifted = lift(xyz, described, encode, tolerance=tolerance, border=border, rows=rows, spool=spool)
    if not isinstance(lifted, CaptionCounts):
        yield from lifted
        return
    rows = rows or max(1, len(xyz))
    for start in range(0, len(xyz), rows):
        yield lifted.means(start, start + rows)


def lift(
    xyz: F4,
    described: Iterable[DescribedFrame],
    encode: Encode,
    *,
    tolerance: float,
    border: int,
    rows: int | None = None,
    spool: Path | None = None,
) -> CaptionCounts | Iterator[Block]:
    """What a model says of points: of a mask model the counts of its captions, of a dense one an iterator
    over blocks of means, as `project` yields them.

    xyz: f4[N, 3] in the world, metres.
    encode: embeds captions.
    rows: points in a block; None: all. The result is the same for any number.
    spool: the folder of a nameless file in which feature maps wait if there are several blocks.

    Raises ProjectionError where there are no frames, or they see no point: of a dense model once its blocks
    end.
    """
    described = iter(described)
    first = next(described, None)
    if first is None:
        raise ProjectionError("the scene has no frames to project")
    described = itertools.chain([first], described)
    sights = _Sights(tolerance, border)
    if isinstance(first.map, CaptionMap):
        counts = _caption_counts(xyz, described, encode, sights)
        sights.require_any()
        return counts
    rows = max(1, min(rows or len(xyz), len(xyz)))
    return _feature_means(xyz, described, sights, rows, spool)


class _Sights:
    """`visible_pixels` with its options, which notes whether any point was seen."""

    def __init__(self, tolerance: float, border: int) -> None:
        self._tolerance, self._border, self._any = tolerance, border, False

    def __call__(self, points: Floats, camera: Camera, depth: Floats | None) -> tuple[I8, I4, I4]:
        found = visible_pixels(points, camera, depth, tolerance=self._tolerance, border=self._border)
        self._any |= len(found[0]) > 0
        return found

    def require_any(self) -> None:
        if not self._any:
            raise ProjectionError(
                "no view sees any point: poses must be camera-to-world with OpenCV axes, "
                "points and depth in metres"
            )


def _feature_means(
    xyz: F4, described: Iterable[DescribedFrame], sights: _Sights, rows: int, spool: Path | None
) -> Iterator[Block]:
    if rows < len(xyz):
        described = _Spooled(described, spool)
    for start in range(0, len(xyz), rows):
        block = xyz[start : start + rows]
        total, count = None, np.zeros(len(block), np.uint16)
        for view in described:
            assert isinstance(view.map, FeatureMap)
            feature = view.map.feature.float()
            if total is None:
                total = torch.zeros(len(block), feature.shape[2], device=feature.device)
            point, row, column = sights(block, view.camera, view.depth)
            count[point] += 1
            size = view.camera.width, view.camera.height
            if total.device.type == "cpu":
                cells = np.ascontiguousarray(feature.numpy(force=True))
                add_sampled_compiled(total.numpy(), point, row, column, cells, *size)
            else:
                add_sampled(total, point, row, column, feature, *size)
        assert total is not None  # `lift` has seen a first frame
        mean: F4 = total.numpy(force=True)
        mean /= np.maximum(count, 1)[:, None]
        yield mean, count
    sights.require_any()


def add_sampled(
    total: torch.Tensor,  # [N, C]
    point: I8,
    row: I4,
    column: I4,
    feature: torch.Tensor,  # [h, w, C]
    width: int,
    height: int,
) -> None:
    """Do what `add_sampled_compiled` does, by the same operations in the same order, on the device of `total`
    and `feature`. Only what is added up is copied from a map."""
    h, w, _ = feature.shape
    x0, x1, right = _between(column, w, width)
    y0, y1, down = _between(row, h, height)
    left, up = 1 - right, 1 - down
    corners = ((y0, x0, up * left), (y0, x1, up * right), (y1, x0, down * left), (y1, x1, down * right))
    for start in range(0, len(point), SAMPLED):
        some = slice(start, start + SAMPLED)
        found: torch.Tensor | int = 0
        for corner in corners:
            rows, columns, share = (torch.from_numpy(part[some]).to(feature.device) for part in corner)
            found = found + share[:, None] * feature[rows, columns]
        total[torch.from_numpy(point[some]).to(feature.device)] += found  # each point occurs once in a view


def _between(
    place: I4, cells: int, pixels: int
) -> tuple[I8, I8, F4]:  # the first cell i8[V], the next i8[V], its share f4[V]
    at = np.clip((place + 0.5) * cells / pixels - 0.5, 0.0, cells - 1.0)
    first = at.astype(np.int64)
    return first, np.minimum(first + 1, cells - 1), (at - first).astype(np.float32)


class _Spooled:
    """Views that can be iterated again. The first time, they are kept in a file without a name, which
    vanishes with the process."""

    def __init__(self, described: Iterable[DescribedFrame], folder: Path | None) -> None:
        self._views = described
        self._file = tempfile.TemporaryFile(dir=folder)
        self._kept: list[tuple[Camera, tuple[int, ...], bool]] = []

    def __iter__(self) -> Iterator[DescribedFrame]:
        self._file.seek(0)
        if not self._kept:
            for view in self._views:
                assert isinstance(view.map, FeatureMap)
                feature = np.ascontiguousarray(view.map.feature.numpy(force=True), np.float32)
                feature.tofile(self._file)
                if view.depth is not None:
                    view.depth.astype(np.float32, copy=False).tofile(self._file)
                self._kept.append((view.camera, feature.shape, view.depth is not None))
                yield view
            return
        for camera, shape, has_depth in self._kept:
            feature, depth = self._read(shape), None
            if has_depth:
                depth = self._read((camera.height, camera.width))
            yield DescribedFrame(camera, depth, FeatureMap(torch.from_numpy(feature)))

    def _read(self, shape: tuple[int, ...]) -> F4:
        return np.fromfile(self._file, np.float32, int(np.prod(shape))).reshape(shape)


def _caption_counts(
    xyz: F4, described: Iterable[DescribedFrame], encode: Encode, sights: _Sights
) -> CaptionCounts:
    names: dict[str, int] = {}  # sentence -> column of the counts
    counts = sparse.csr_array((len(xyz), 0), dtype=np.int32)
    sightings = np.empty((2, 0), np.int32)  # points and columns that are not yet in the counts
    for view in described:
        assert isinstance(view.map, CaptionMap)
        column_of = np.array([names.setdefault(text, len(names)) for text in view.map.text], np.int32)
        point, row, column = sights(xyz, view.camera, view.depth)
        caption = view.map.caption[row, column]
        point, caption = point[caption >= 0], caption[caption >= 0]
        sightings = np.concatenate([sightings, np.stack([point, column_of[caption]])], 1, dtype=np.int32)
        if sightings.shape[1] > PENDING:
            counts, sightings = _counted(counts, sightings, len(names)), sightings[:, :0]
    counts = _counted(counts, sightings, len(names)).astype(np.float32)
    return CaptionCounts(counts, encode(list(names)), tuple(names))


def _counted(counts: sparse.csr_array, sightings: I4, captions: int) -> sparse.csr_array:
    """i4[N, T], T = captions: how often each point had each caption, by `counts` and `sightings` together."""
    shape = counts.shape[0], captions
    counts.resize(shape)
    new = sparse.coo_array((np.ones(sightings.shape[1], np.int32), tuple(sightings)), shape)
    total = counts + new.tocsr()
    total.sort_indices()  # so that products are added in one order, however the counts came about
    return total


@numba.njit(cache=True, nogil=True)
def add_sampled_compiled(
    total: F4, point: I8, row: I4, column: I4, feature: F4, width: int, height: int
) -> None:
    """Add the feature f4[h, w, C], interpolated bilinearly at the pixel of every `point`, to its row of total
    f4[N, C]."""
    h, w, channels = feature.shape
    for n in range(len(point)):
        x = min(max((column[n] + 0.5) * w / width - 0.5, 0.0), w - 1.0)
        y = min(max((row[n] + 0.5) * h / height - 0.5, 0.0), h - 1.0)
        x0, y0 = int(x), int(y)
        right, down = np.float32(x - x0), np.float32(y - y0)
        target = total[point[n]]
        if right == 0 and down == 0:
            cell = feature[y0, x0]
            for c in range(channels):
                target[c] += cell[c]
            continue
        x1, y1 = min(x0 + 1, w - 1), min(y0 + 1, h - 1)
        left, up = np.float32(1) - right, np.float32(1) - down
        f00, f01, f10, f11 = feature[y0, x0], feature[y0, x1], feature[y1, x0], feature[y1, x1]
        w00, w01, w10, w11 = up * left, up * right, down * left, down * right
        for c in range(channels):
            target[c] += w00 * f00[c] + w01 * f01[c] + w10 * f10[c] + w11 * f11[c]
