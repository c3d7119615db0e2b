"""Raw scans -> data/scenes: one group for each scene, with its cloud and an index of its frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import zarr
from rich.console import Console

from anyscene import datasets
from anyscene.project import layout, per_scene, store
from anyscene.project.freshness import Freshness
from anyscene.project.parameters import Params, plain


@dataclass(frozen=True)
class Import:
    """Writes the cloud of a scene and the index of its frames."""

    dataset: datasets.Dataset

    def __call__(self, scene: str, group: zarr.Group) -> None:
        store.write_scene(group, self.dataset.read(scene), self.dataset.root)


def import_scenes(params: Params, fresh: Freshness) -> per_scene.RunSummary:
    """Bring data/scenes up to date, and print how many frames were left out because they have no pose. Raises
    ScenesFailed after all were tried."""
    dataset = datasets.open_dataset(params.dataset, params.scenes)
    summary = per_scene.run(
        Import(dataset),
        dataset.keys(),
        layout.SCENES,
        parameters=plain(params.scenes),
        fresh=fresh,
        workers=params.runtime.workers,
        label="scenes",
    )
    paths = [store.scene_path(layout.SCENES, scene) for scene in store.scene_ids(layout.SCENES)]
    lost = [len(store.lost_frames(path)) for path in paths]
    if any(lost):
        count = f"{sum(lost)} frames of {np.count_nonzero(lost)} scenes"
        Console(stderr=True).print(f"scenes: {count} have no pose and were left out", highlight=False)
    return summary
