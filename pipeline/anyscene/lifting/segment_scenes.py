"""Scenes -> data/superpoints: the superpoint of every point, and the number of points in each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import zarr

from anyscene.lifting.superpoints import segment
from anyscene.project import layout, per_scene, store
from anyscene.project.freshness import Freshness
from anyscene.project.parameters import Params, Superpoints, plain


@dataclass(frozen=True)
class Segment:
    """Writes the superpoint of every point, and the number of points in each superpoint."""

    settings: Superpoints

    def __call__(self, scene: str, group: zarr.Group) -> None:
        source = store.open_scene(store.scene_path(layout.SCENES, scene))
        superpoint = segment(source["xyz"][:], source["normal"][:], source["face"][:], self.settings)
        store.write(group, "superpoint", superpoint)
        store.write(group, "size", np.bincount(superpoint).astype(np.int32))


def segment_scenes(params: Params, fresh: Freshness) -> per_scene.RunSummary:
    """Bring data/superpoints up to date. Raises ScenesFailed after all scenes were tried."""
    return per_scene.run(
        Segment(params.superpoints),
        store.geometry_keys(layout.SCENES),
        layout.SUPERPOINTS,
        parameters=plain(params.superpoints),
        fresh=fresh,
        workers=params.runtime.workers,
        failures=params.runtime.failures,
        label="superpoints",
    )
