"""The points that a network sees: the cloud of a scene, and its superpoints."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from anyscene.arrays import F4, I4, U1
from anyscene.errors import DataError
from anyscene.project import store


@dataclass(frozen=True, eq=False)
class Cloud:
    """The points of a scene."""

    id: str  # of the scene
    xyz: F4  # f4[N, 3], metres
    rgb: U1  # u1[N, 3]
    superpoint: I4  # i4[N], the superpoint of each point, 0..L-1


def read_cloud(scenes: Path, superpoints: Path, scene: str) -> Cloud:
    """The cloud of `scene`. scenes, superpoints: the folders that these stages write.

    Raises StoreError where an artefact is missing, DataError where the two do not have as many points."""
    cloud = store.open_scene(store.scene_path(scenes, scene))
    superpoint = store.open_scene(store.scene_path(superpoints, scene))["superpoint"][:]
    if len(superpoint) != cloud["xyz"].shape[0]:
        raise DataError(
            f"{scene}: {len(superpoint)} superpoint labels for {cloud['xyz'].shape[0]} points; "
            "run the stage superpoints again"
        )
    return Cloud(scene, cloud["xyz"][:], cloud["rgb"][:], superpoint)
