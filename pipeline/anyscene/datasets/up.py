"""Which direction is up in the world of a scan, by its cameras and its surfaces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anyscene.arrays import F8, I8, Floats
from anyscene.scene import Scene

IMAGES = "images"  # what a person gives for up who wants the images to say it

TILT = np.sin(np.radians(15))  # how far from level images held by hand may lie on the whole
SPREAD = np.sin(np.radians(10))  # how far apart their right edges must point to tell what is level


def _sphere(count: int) -> F8:
    """f8[count,3]: directions spread evenly over half a sphere (a Fibonacci lattice)."""
    index = np.arange(count) + 0.5
    z = index / count
    radius, turn = np.sqrt(1 - z * z), np.pi * (1 + np.sqrt(5)) * index
    return np.stack([radius * np.cos(turn), radius * np.sin(turn), z], 1)


Z, Y = np.array([0.0, 0.0, 1.0]), np.array([0.0, 1.0, 0.0])
SPHERE = _sphere(2000)  # about 3 degrees from one direction to the next
CONE = np.radians(10)  # within which normals count as one direction
NEAR = np.cos(CONE)
NEIGHBOURING = np.cos(np.radians(25))  # of an axis that may be z, of a world that is tilted
CELLS = 100  # of the grid along the longest side of a scene
SOME = 4000  # normals among which directions are looked for
MOST, LEAST = 6, 0.03  # directions; the share of normals at which looking for more ends
RARE = 0.02  # a share of surfaces that may be chance

# The weights of `estimate`
USUAL_Z, USUAL_Y = 2.0, 1.0
FACING, FACING_MOST = 4.0, 4.0  # of the logarithm of how much faces it, and the most that this can take away
ONE_SIDED = 3.0
STANDING, STANDS = 6.0, 0.5  # taken away where less than this share of the most stands upright to it
LEVEL, UPRIGHT = 3.5, 1.5  # of images: for the axis, for its sign
MARGIN = 2.0  # of the best over the next
ROUNDING = 1e-9  # of evidence, where a margin is just that
# Of what surfaces face towards and away from the middle, so much more is towards it where their sign counts
INWARDS = 0.3


@dataclass(frozen=True, eq=False)
class Found:
    """A direction that is up."""

    direction: F8  # f8[3], of length 1
    by: str  # what says so: "surfaces", or "surfaces and cameras"


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


def estimate(scene: Scene) -> Found | None:
    """Which direction is up, by the surfaces and the cameras of a scene; None where they do not tell.

    Rooms are built of planes. Each direction that many surfaces face may be up, so may the opposite ones, and
    z, unless one of them is that, but for a tilt. z is what files usually have, and y after it. The rest is
    evidence:

    - What is up is faced by the floor and the tops of things, which is more than what faces any wall.
    - It is faced by more than faces down. Before a wall there is mostly another. Without cameras this counts
      only where surfaces face the middle on the whole: faces of a room may be wound inside out.
    - Surfaces stand on the floor. What hardly any surface is upright to is a wall, with nothing else there.
    - The upper edges of images point up on the whole. An image may be upside down, so that counts more for
      the axis than for its sign.

    The direction with the most evidence must have clearly more than the next. docs/notes/up.md says how the
    weights were chosen, and what they do.
    """
    at = _evenly(scene)
    normal = scene.normal[at].astype(np.float64)
    axes = _axes(normal)
    candidates = np.concatenate([axes, -axes])
    if not len(candidates) or (candidates @ Z).max() < NEIGHBOURING:
        candidates = np.concatenate([candidates, Z[None]])
    evidence = USUAL_Z * (candidates @ Z >= NEAR) + USUAL_Y * (candidates @ Y >= NEAR)
    if len(normal):
        sided = bool(scene.frames) or _faces_inwards(scene.xyz, scene.xyz[at], normal)
        evidence = evidence + _by_surfaces(normal, candidates, sided)
    if scene.frames:
        poses = np.array([frame.camera.pose for frame in scene.frames])
        held = candidates @ -poses[:, :3, 1].mean(0)
        evidence = evidence + LEVEL * np.abs(held) + UPRIGHT * held
    best = int(evidence.argmax())
    if len(evidence) > 1 and evidence[best] - np.delete(evidence, best).max() < MARGIN - ROUNDING:
        return None
    by = "surfaces and cameras" if scene.frames else "surfaces"
    return Found(candidates[best], by)


def _by_surfaces(normal: F8, candidates: F8, sided: bool) -> F8:
    """f8[k]: the evidence of surfaces, by their normals f8[M,3], for each of the directions f8[k,3]. sided:
    whether the sign of normals counts."""
    along = normal @ candidates.T
    up, down = ((sign * along > np.cos(np.radians(15))).mean(0) for sign in (1, -1))
    if not sided:
        up = down = up + down
    standing = (np.abs(along) < np.sin(CONE)).mean(0)
    more = np.maximum(FACING * np.log((up + RARE) / (up.max() + RARE)), -FACING_MOST)
    one_sided = ONE_SIDED * (up - down) / (up + down + RARE)
    evidence: F8 = more + one_sided - STANDING * (standing < STANDS * standing.max())
    return evidence


def _faces_inwards(xyz: Floats, place: Floats, normal: F8) -> bool:
    """Whether normals f8[M,3] of places [M,3] among points [N,3] point to the middle of these on the whole.
    An object that was scanned from outside and a room that is inside out do not."""
    middle = (xyz.min(0).astype(np.float64) + xyz.max(0)) / 2
    towards = np.einsum("ij,ij->i", middle - place, normal)
    return bool(towards.sum() >= INWARDS * np.abs(towards).sum())


def surfaces(scene: Scene) -> F8:
    """f8[M,3]: the normals of points that have one, one in each cell of a grid, so that a surface counts by
    its area."""
    return scene.normal[_evenly(scene)].astype(np.float64)


def _evenly(scene: Scene) -> I8:
    """i8[M]: points that have a normal, one in each cell of a grid."""
    at = np.flatnonzero(scene.normal.any(1))
    if not len(at):
        return at
    place = scene.xyz[at] - scene.xyz[at].min(0)
    x, y, z = (place / max(float(place.max()) / CELLS, 1e-6)).astype(np.int64).T
    return at[np.unique((x << 40) | (y << 20) | z, return_index=True)[1]]


def _axes(normal: F8) -> F8:
    """f8[k,3]: the directions that many of the normals f8[M,3] have, or the opposite ones, the most frequent
    first."""
    some = normal[:: max(1, len(normal) // SOME)]
    left, found = np.ones(len(some), bool), list[F8]()
    while len(found) < MOST and left.sum() > LEAST * len(some):
        count = (np.abs(some[left] @ SPHERE.T) > np.cos(CONE)).sum(0)
        axis = SPHERE[count.argmax()]
        for _ in range(3):
            near = normal[np.abs(normal @ axis) > np.cos(CONE)]
            axis = np.linalg.eigh(near.T @ near)[1][:, 2]
        found.append(axis)
        left &= np.abs(some @ axis) < np.cos(2 * CONE)
    return np.array(found).reshape(-1, 3)
