"""What a task is given of a scene: its points, its mesh and its superpoints."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from anyscene.lifting import superpoints
from anyscene.networks.cloud import Cloud
from anyscene.project import parameters, store
from anyscene.project.layout import Artefacts
from anyscene.scene import Scene


@dataclass(frozen=True, eq=False)
class Surface:
    """The N points of a scene and what they form."""

    scene: str  # id
    xyz: np.ndarray  # f4[N, 3], metres, z up
    rgb: np.ndarray  # u1[N, 3]
    normal: np.ndarray  # f4[N, 3], of length 1
    face: np.ndarray  # i4[F, 3]; F may be 0
    superpoint: np.ndarray  # i4[N], 0..L-1; empty where there are none yet

    @classmethod
    def read(cls, artefacts: Artefacts, scene: str) -> Surface:
        """A scene of data/scenes. Raises StoreError naming the known scenes where it is none of them."""
        group = store.open_imported(artefacts.data("scenes"), scene)
        path = store.scene_path(artefacts.data("superpoints"), scene)
        superpoint = store.open_scene(path)["superpoint"][:] if path.is_dir() else np.empty(0, np.int32)
        return cls(scene, *(group[name][:] for name in ("xyz", "rgb", "normal", "face")), superpoint)

    @classmethod
    def of_scan(cls, scan: Scene, settings: parameters.Superpoints) -> Surface:
        """A scan that was not imported, divided into superpoints as params.yaml asks for them."""
        none = np.empty(0, np.int32)
        return cls(scan.id, scan.xyz, scan.rgb, scan.normal, scan.face, none).divided(settings)

    def divided(self, settings: parameters.Superpoints) -> Surface:
        """With superpoints as params.yaml asks for them."""
        return replace(self, superpoint=superpoints.segment(self.xyz, self.normal, self.face, settings))

    @property
    def cloud(self) -> Cloud:
        """What a network is shown of it."""
        return Cloud(self.scene, self.xyz, self.rgb, self.superpoint)

    def __len__(self) -> int:
        return len(self.xyz)
