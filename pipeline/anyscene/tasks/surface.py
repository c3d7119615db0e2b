"""What a task sees of a scene: its points, its mesh, its superpoints, and points spread over it evenly."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from anyscene.arrays import F4, F8, I4, I8, U1
from anyscene.lifting import superpoints
from anyscene.networks.cloud import Cloud
from anyscene.project import parameters, store
from anyscene.project.layout import Artefacts
from anyscene.scene import Scene, World, moved, turned

ATTEMPTS, ENOUGH = 8, 0.9  # tries to find a grid, and the share of the points that a good one keeps
COARSE, FINE = 0.1, 0.002  # metres, the bounds of the estimated distance of neighbouring points


@dataclass(frozen=True, eq=False)
class Surface:
    """The N points of a scene, its faces and its superpoints."""

    scene: str  # id
    xyz: F4  # f4[N, 3], metres, z up
    rgb: U1  # u1[N, 3]
    normal: F4  # f4[N, 3], of length 1
    face: I4  # i4[F, 3], indices of points; F may be 0
    superpoint: I4  # i4[N], 0..L-1; empty where there are none yet
    # f8[4,4], from here to the world of the user's own files
    world: F8 = field(default_factory=lambda: np.eye(4))

    @classmethod
    def read(cls, artefacts: Artefacts, scene: str) -> Surface:
        """Read an imported scene. Raises StoreError naming the known scenes where it is none of them."""
        group = store.open_imported(artefacts.data("scenes"), scene)
        path = store.scene_path(artefacts.data("superpoints"), scene)
        superpoint = store.open_scene(path)["superpoint"][:] if path.is_dir() else np.empty(0, np.int32)
        xyz, rgb, normal, face = (group[name][:] for name in ("xyz", "rgb", "normal", "face"))
        return cls(scene, xyz, rgb, normal, face, superpoint, store.world(group))

    @classmethod
    def of_scan(cls, scan: Scene, settings: parameters.Superpoints) -> Surface:
        """Take a scan that was not imported, and divide it into superpoints as `settings` say."""
        none = np.empty(0, np.int32)
        surface = cls(scan.id, scan.xyz, scan.rgb, scan.normal, scan.face, none, scan.world)
        return surface.divided(settings)

    def divided(self, settings: parameters.Superpoints) -> Surface:
        """The same surface, divided into superpoints as `settings` say."""
        return replace(self, superpoint=superpoints.segment(self.xyz, self.normal, self.face, settings))

    def xyz_in(self, world: World) -> F4 | F8:
        """The points: f4[N, 3] of the scene, or f8[N, 3] in the world of the user's own files, in its unit,
        which may be that of a map."""
        return self.xyz if world == "scene" else moved(self.xyz, self.world)

    def normal_in(self, world: World) -> F4:
        """f4[N, 3]: the normals in one of the worlds, of length 1."""
        return self.normal if world == "scene" else turned(self.normal, self.world).astype(np.float32)

    @property
    def cloud(self) -> Cloud:
        """What a network sees of the scene."""
        return Cloud(self.scene, self.xyz, self.rgb, self.superpoint)

    def __len__(self) -> int:
        return len(self.xyz)


def spread(xyz: F4, most: int) -> I8:
    """i8[M]: at most `most` (0 = all) of the points f4[N, 3] in metres, in rising order, one from each
    occupied cell of a grid. They cover surfaces with fewer gaps than points that are drawn at random, and do
    so for scans of any density."""
    if most == 0 or len(xyz) <= most:
        return np.arange(len(xyz))
    cell, found = spacing(xyz) * float(np.sqrt(len(xyz) / most)), np.empty(0, np.int64)
    for _ in range(ATTEMPTS):
        first = np.unique(_cells(xyz, cell), return_index=True)[1]
        if len(found) < len(first) <= most:
            found = first
        if ENOUGH * most <= len(first) <= most:
            break
        cell *= float(np.sqrt(2 * len(first) / (1 + ENOUGH) / most))
    return np.sort(found) if len(found) else np.sort(first)[:: -(-len(first) // most)]


def spacing(xyz: F4) -> float:
    """The distance of neighbouring points on surfaces, in metres. The occupied cells of a coarse grid tell
    how large the surfaces are."""
    if len(xyz) == 0:
        return COARSE
    occupied = len(np.unique(_cells(xyz, COARSE)))
    return float(np.clip(COARSE * np.sqrt(occupied / len(xyz)), FINE, COARSE))


def _cells(xyz: F4, cell: float) -> I8:
    """i8[N]: the number of the cell that each point is in. cell: the side of a cell in metres."""
    x, y, z = ((xyz - xyz.min(0)) / cell).astype(np.int64).T
    number: I8 = (x << 40) | (y << 20) | z
    return number
