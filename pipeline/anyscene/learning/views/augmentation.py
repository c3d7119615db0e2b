"""Random variation of a scene: scale, rotation, elastic distortion and flips.

The constants of geometry are OpenScene's (dataset/point_loader.py, dataset/augmentation.py); the defaults of
`Augmentation` mirror every scene with an even chance, where its RandomHorizontalFlip leaves one in twenty as
it is (`mirror: 0.95`). Its `aug: True` leaves clouds in its distillation undistorted, because
feature_loader.py voxelises the points as they were before; SAS's code repairs this. The constants of
colours are ours."""

from __future__ import annotations

from dataclasses import replace

import numba
import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from anyscene.arrays import F4, F8
from anyscene.networks.batch import View, centred, input_features
from anyscene.networks.cloud import Cloud
from anyscene.networks.voxels import voxelise
from anyscene.project.parameters import Augmentation, NetworkInput

RELEASED = Augmentation()  # as SAS's code on ScanNet, but for the mirror; the paper names none
SCALE = (0.9, 1.1)  # the smallest and the largest factor
TILT = np.pi / 64  # the largest turn about x and y, radians
SKEW = np.pi / 64  # the largest turn about z beside quarter turns, radians
ELASTIC = ((0.2, 0.4), (0.8, 1.6))  # (distance between the knots of the noise, its amplitude), metres
CONTRAST, BRIGHTNESS, TINT, NOISE = 0.2, 0.1, 0.05, 0.03  # of colours in -1..1


def augmented(
    cloud: Cloud, rng: np.random.Generator, voxel: float, inputs: NetworkInput, how: Augmentation = RELEASED
) -> View:
    """A view of `cloud` with voxels of `voxel` metres, whose points are varied, and with inputs "colour"
    their colours too."""
    voxels = voxelise(geometry(cloud.xyz, rng, how) if how.enabled else centred(cloud.xyz), voxel)
    if how.enabled and how.shift:  # SAS run/distill_sp.py:317, by up to 100
        moved = rng.integers(how.shift, size=3, dtype=np.int32)
        voxels = replace(voxels, coordinates=voxels.coordinates + moved)
    features = input_features(cloud, voxels, inputs)
    if inputs == "colour" and how.enabled:
        features = colour(features, rng)
    return View(cloud, voxels, features, rng)


def geometry(xyz: F4, rng: np.random.Generator, how: Augmentation = RELEASED) -> F4:  # [N, 3]
    """f4[N, 3]: the points, bent, scaled, turned and mirrored about the middle of their bounding box."""
    points = centred(xyz)
    if rng.random() < how.elastic:
        for granularity, magnitude in ELASTIC:
            points = elastic(points, granularity, magnitude, rng)
    angles = rng.uniform(-1, 1, 3) * (TILT, TILT, np.pi if how.turn == "free" else SKEW)
    if how.turn == "quarter":
        angles[2] += rng.integers(4) * np.pi / 2
    matrix = rotation(*angles) * rng.uniform(*SCALE)
    mirrored = rng.random(2) < 0.5
    if how.mirror < 1 and rng.random() >= how.mirror:
        mirrored[:] = False
    matrix[:, :2] *= np.where(mirrored, -1, 1)
    return (points @ matrix.T.astype(np.float32)).astype(np.float32)


def colour(rgb: F4, rng: np.random.Generator) -> F4:  # f4[N,3] in -1..1
    """f4[N, 3]: the colours f4[N, 3] in -1..1 with another contrast, brightness and tint for the whole scene,
    and noise on every value."""
    gain = 1 + rng.uniform(-CONTRAST, CONTRAST)
    offset = rng.uniform(-BRIGHTNESS, BRIGHTNESS) + rng.uniform(-TINT, TINT, 3)
    noise = rng.normal(0, NOISE, rgb.shape)
    return np.clip(rgb * gain + offset + noise, -1, 1).astype(np.float32)


def rotation(about_x: float, about_y: float, about_z: float) -> F8:
    """f8[3, 3]: a turn about x, then about y, then about z, each in radians."""
    matrix: F8 = Rotation.from_euler("xyz", (about_x, about_y, about_z)).as_matrix()
    return matrix


def elastic(xyz: F4, granularity: float, magnitude: float, rng: np.random.Generator) -> F4:
    """f4[N, 3]: the points, moved along a smooth random field. The field is normal noise on knots that are
    `granularity` metres apart; it is blurred twice over three knots along each axis, interpolated linearly,
    and multiplied by `magnitude` metres (as in OpenScene)."""
    low = xyz.min(0)
    knots = np.ceil((xyz.max(0) - low) / granularity).astype(int) + 3
    field = rng.normal(size=(3, *knots)).astype(np.float32)
    for _ in range(2):
        for along in (1, 2, 3):
            field = ndimage.uniform_filter1d(field, 3, axis=along, mode="constant")
    return _displaced(xyz, field, low, np.float32(granularity), np.float32(magnitude))


@numba.njit(cache=True, nogil=True)
def _displaced(xyz: F4, field: F4, low: F4, granularity: np.float32, magnitude: np.float32) -> F4:
    # [N, 3], [3, X, Y, Z], [3]
    """The points, moved by the trilinear interpolation of `field`, whose knot 1 lies at `low`."""
    moved = np.empty_like(xyz)
    for i in range(len(xyz)):
        x = (xyz[i, 0] - low[0]) / granularity + 1
        y = (xyz[i, 1] - low[1]) / granularity + 1
        z = (xyz[i, 2] - low[2]) / granularity + 1
        a, b, c = int(x), int(y), int(z)
        u, v, w = x - a, y - b, z - c
        for axis in range(3):
            f = field[axis]
            near = (f[a, b, c] * (1 - w) + f[a, b, c + 1] * w) * (1 - v)
            near += (f[a, b + 1, c] * (1 - w) + f[a, b + 1, c + 1] * w) * v
            far = (f[a + 1, b, c] * (1 - w) + f[a + 1, b, c + 1] * w) * (1 - v)
            far += (f[a + 1, b + 1, c] * (1 - w) + f[a + 1, b + 1, c + 1] * w) * v
            moved[i, axis] = xyz[i, axis] + magnitude * (near * (1 - u) + far * u)
    return moved
