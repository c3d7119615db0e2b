"""What the frames of a scan know of its points: their colours, and from where they were seen."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from anyscene.arrays import B1, F4, F8, I4, I8, U1, Floats
from anyscene.datasets.geometry.geometry import Geometry
from anyscene.datasets.geometry.normals import NEIGHBOURS, cloud_normals, vertex_normals
from anyscene.datasets.geometry.pixels import bilinear
from anyscene.errors import DataError
from anyscene.project.progress import progress
from anyscene.scene import Camera, Frame

MOST = 200  # frames that are asked, evenly chosen: more tell nothing new of a room
BEHIND = 0.05  # a share of the distance: what is further behind what a frame sees is hidden
SEEN = 0.1  # the least share of the points that frames must see to colour them
REACH = 1.5  # distances of neighbouring points that a point covers where there is no depth
WIDEST = 6  # cells to each side that the nearest points cover


def completed(
    geometry: Geometry, frames: Sequence[Frame], path: Path, show_progress: bool = False
) -> tuple[F4, U1, F4, I4]:
    """(xyz f4[N,3], rgb u1[N,3], normal f4[N,3], face i4[F,3]) of the mesh of a scan in the world of its
    `frames`, metres.

    What its file `path` lacks comes from the frames: `colours`, and without faces and normals
    `normals.cloud_normals`, turned to the nearest camera that looks at a point. Raises DataError that begins
    with `path` where they cannot tell.
    """
    xyz = geometry.xyz.astype(np.float32)
    rgb = colours(xyz, frames, path, show_progress) if geometry.rgb is None else geometry.rgb
    if len(geometry.face):
        normal = vertex_normals(xyz, geometry.face)
    elif len(xyz) < NEIGHBOURS:
        normal = np.zeros_like(xyz) if geometry.normal is None else geometry.normal
    else:
        normal = cloud_normals(xyz, viewpoints(xyz, frames), geometry.normal)
    return xyz, rgb, normal, geometry.face


def colours(xyz: F4, frames: Sequence[Frame], path: Path, show_progress: bool = False) -> U1:
    """u1[N,3]: the mean colour of each point in the frames that see it, and where none does that of the
    nearest point that is seen.

    xyz: f4[N,3] in the world, metres. A frame sees a point that is not further behind its depth reading than
    a BEHIND of the distance; without depth, than that behind the nearest point that covers its pixel. Raises
    DataError that begins with `path` where fewer than SEEN of the points are seen.
    """
    total, count = np.zeros((len(xyz), 3)), np.zeros(len(xyz))
    apart = spacing(xyz)
    asked = _evenly(frames)
    with progress("frames read", len(asked) if show_progress else 0) as advance:
        for frame in asked:
            index, u, v, z = pixels(xyz, frame.camera)
            there = _visible(frame, u, v, z, apart)
            index, u, v = index[there], u[there], v[there]
            total[index] += bilinear(frame.read_color(), u, v)
            count[index] += 1
            advance()
    seen = count > 0
    if seen.mean() < SEEN:
        raise DataError(
            f"{path}: has no colours, and the frames see {100 * seen.mean():.0f} % of it; check that it lies "
            "in the world of the poses, or save it with colours"
        )
    mean = total / np.maximum(count, 1)[:, None]
    if not seen.all():
        from scipy.spatial import cKDTree  # only here: readers are imported to check params.yaml

        nearest = cKDTree(xyz[seen]).query(xyz[~seen])[1]
        mean[~seen] = mean[seen][nearest]
    rgb: U1 = np.rint(mean).astype(np.uint8)
    return rgb


def viewpoints(xyz: F4, frames: Sequence[Frame]) -> F8:
    """f8[N,3]: the centre of the nearest camera that looks at each point; of the nearest one where none
    does. xyz: f4[N,3] in the world, metres."""
    best, found = np.full(len(xyz), np.inf), np.zeros((len(xyz), 3))
    looked = np.zeros(len(xyz), bool)
    for frame in _evenly(frames):
        centre = frame.camera.pose[:3, 3]
        distance = np.linalg.norm(xyz - centre, axis=1)
        looks = frame.camera.looks_at(xyz)
        better = (looks & ~looked) | ((looks == looked) & (distance < best))
        best[better], found[better] = distance[better], centre
        looked |= looks
    return found


def _evenly(frames: Sequence[Frame]) -> list[Frame]:
    return list(frames[:: -(-len(frames) // MOST)]) if frames else []


def pixels(xyz: Floats, camera: Camera) -> tuple[I8, F8, F8, F8]:
    """(index i8[M] of the points inside the image, column f8[M], row f8[M], depth f8[M] in metres)."""
    x, y, z = np.linalg.inv(camera.pose)[:3] @ np.vstack([xyz.T, np.ones(len(xyz))])
    with np.errstate(divide="ignore", invalid="ignore"):  # for points in the camera's plane
        u = x * camera.intrinsics[0, 0] / z + camera.intrinsics[0, 2]
        v = y * camera.intrinsics[1, 1] / z + camera.intrinsics[1, 2]
        inside = (z > 0) & (u > -0.5) & (u < camera.width - 0.5) & (v > -0.5) & (v < camera.height - 0.5)
    index = np.flatnonzero(inside)
    return index, u[index], v[index], z[index]


def _visible(frame: Frame, u: F8, v: F8, z: F8, apart: float) -> B1:
    """b1[M]: whether nothing stands before the points at the pixels (u, v) of a frame."""
    depth = frame.read_depth()
    if depth is not None:
        height, width = depth.shape
        camera = frame.camera.resized(width, height)
        scale = camera.intrinsics[[0, 1], [0, 1]] / frame.camera.intrinsics[[0, 1], [0, 1]]
        column = (u - frame.camera.intrinsics[0, 2]) * scale[0] + camera.intrinsics[0, 2]
        row = (v - frame.camera.intrinsics[1, 2]) * scale[1] + camera.intrinsics[1, 2]
        before = depth[
            np.clip(np.rint(row), 0, height - 1).astype(np.intp),
            np.clip(np.rint(column), 0, width - 1).astype(np.intp),
        ]
        return np.asarray((before > 0) & (np.abs(z - before) <= BEHIND * z))
    return nearest(frame.camera, u, v, z, apart)


def nearest(camera: Camera, u: F8, v: F8, z: F8, apart: float) -> B1:
    """b1[M]: whether no point stands before another one, of those that a camera has at pixels (u, v), at a
    depth z. Each covers a square that reaches to its neighbours at the distance `apart`, on a grid over the
    image whose cells are as far apart as points at the median depth."""
    if len(z) == 0:
        return np.zeros(0, bool)
    focal = float(camera.intrinsics[0, 0])
    side = max(1.0, apart * focal / float(np.median(z)))  # of a cell, pixels
    cells = np.ceil(REACH * apart * focal / (z * side))  # that a point must cover to leave no gap
    radius = np.clip(np.ceil((cells - 1) / 2), 0, WIDEST).astype(np.int64)
    columns, rows = (int(size / side) + 1 + 2 * WIDEST for size in (camera.width, camera.height))
    cell = ((v + 0.5) / side).astype(np.int64) * columns + ((u + 0.5) / side).astype(np.int64)
    cell += WIDEST * (columns + 1)  # a margin, into which squares at the edge reach
    before = np.full(columns * rows, np.inf)
    for one in np.unique(radius).tolist():
        there = radius == one
        for down, right in itertools.product(range(-one, one + 1), repeat=2):
            np.minimum.at(before, cell[there] + down * columns + right, z[there])
    return np.asarray(z <= before[cell] * (1 + BEHIND) + apart)


def spacing(xyz: F4) -> float:
    """The median distance of a point to the nearest at another place, in metres, by a sample."""
    from scipy.spatial import cKDTree

    places = np.unique(xyz[np.linspace(0, len(xyz) - 1, min(len(xyz), 200_000)).astype(np.intp)], axis=0)
    if len(places) < 2:
        return 0.0
    some = places[np.linspace(0, len(places) - 1, min(len(places), 2000)).astype(np.intp)]
    return float(np.median(cKDTree(places).query(some, 2)[0][:, 1]))
