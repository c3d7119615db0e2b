"""What a task sees of a scene: its points, its mesh and its superpoints."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from anyscene.arrays import F4, I4, U1
from anyscene.lifting import superpoints
from anyscene.networks.cloud import Cloud
from anyscene.project import parameters, store
from anyscene.project.layout import Artefacts
from anyscene.scene import Scene


@dataclass(frozen=True, eq=False)
class Surface:
    """The N points of a scene, its faces and its superpoints."""

    scene: str  # id
    xyz: F4  # f4[N, 3], metres, z up
    rgb: U1  # u1[N, 3]
    normal: F4  # f4[N, 3], of length 1
    face: I4  # i4[F, 3], indices of points; F may be 0
    superpoint: I4  # i4[N], 0..L-1; empty where there are none yet

    @classmethod
    def read(cls, artefacts: Artefacts, scene: str) -> Surface:
        """Read an imported scene. Raises StoreError naming the known scenes where it is none of them."""
        group = store.open_imported(artefacts.data("scenes"), scene)
        path = store.scene_path(artefacts.data("superpoints"), scene)
        superpoint = store.open_scene(path)["superpoint"][:] if path.is_dir() else np.empty(0, np.int32)
        return cls(scene, group["xyz"][:], group["rgb"][:], group["normal"][:], group["face"][:], superpoint)

    @classmethod
    def of_scan(cls, scan: Scene, settings: parameters.Superpoints) -> Surface:
        """Take a scan that was not imported, and divide it into superpoints as `settings` say."""
        none = np.empty(0, np.int32)
        return cls(scan.id, scan.xyz, scan.rgb, scan.normal, scan.face, none).divided(settings)

    def divided(self, settings: parameters.Superpoints) -> Surface:
        """The same surface, divided into superpoints as `settings` say."""
        return replace(self, superpoint=superpoints.segment(self.xyz, self.normal, self.face, settings))

    @property
    def cloud(self) -> Cloud:
        """What a network sees of the scene."""
        return Cloud(self.scene, self.xyz, self.rgb, self.superpoint)

    def __len__(self) -> int:
        return len(self.xyz)
