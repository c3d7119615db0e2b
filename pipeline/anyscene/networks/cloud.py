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

    Raises as `check_cloud`."""
    check_cloud(scenes, superpoints, scene)
    cloud = store.open_scene(store.scene_path(scenes, scene))
    superpoint = store.open_scene(store.scene_path(superpoints, scene))["superpoint"]
    return Cloud(scene, cloud["xyz"][:], cloud["rgb"][:], superpoint[:])


def check_cloud(scenes: Path, superpoints: Path, scene: str) -> int:
    """The number of points of `scene`, of which no array is read.

    Raises StoreError where an artefact is missing, DataError where the two do not have as many points."""
    points: int = store.open_scene(store.scene_path(scenes, scene))["xyz"].shape[0]
    labels = store.open_scene(store.scene_path(superpoints, scene))["superpoint"].shape[0]
    if labels != points:
        raise DataError(
            f"{scene}: {labels} superpoint labels for {points} points; run the stage superpoints again"
        )
    return points
