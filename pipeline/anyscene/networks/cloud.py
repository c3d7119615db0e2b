"""The points that a network sees: the cloud of a scene, and its superpoints."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from anyscene.arrays import F4, I4, U1
from anyscene.errors import DataError
from anyscene.project import store
from anyscene.project.artefact import Artefact


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
    cloud, of_superpoints = _opened(scenes, superpoints, scene)
    _check(scene, cloud, of_superpoints)
    return Cloud(scene, cloud["xyz"][:], cloud["rgb"][:], of_superpoints["superpoint"][:])


def check_cloud(scenes: Path, superpoints: Path, scene: str) -> int:
    """The number of points of `scene`, of which no array is read. Raises as `read_cloud`."""
    return _check(scene, *_opened(scenes, superpoints, scene))


def _opened(scenes: Path, superpoints: Path, scene: str) -> tuple[Artefact, Artefact]:
    cloud, of_superpoints = (
        store.open_scene(store.scene_path(folder, scene)) for folder in (scenes, superpoints)
    )
    return cloud, of_superpoints


def _check(scene: str, cloud: Artefact, superpoints: Artefact) -> int:
    """The number of points, where both artefacts of `scene` have as many."""
    points, labels = cloud["xyz"].shape[0], superpoints["superpoint"].shape[0]
    if labels != points:
        raise DataError(
            f"{scene}: {labels} superpoint labels for {points} points; run the stage superpoints again"
        )
    return points
