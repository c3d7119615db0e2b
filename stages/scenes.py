"""Raw scans -> data/scenes: one group per scene with its cloud and an index of its frames."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zarr
from rich.console import Console

from anyscene import datasets
from anyscene.cli.command import command
from anyscene.project import parameters, per_scene, store

OUTPUT = Path("data/scenes")
VERSION = 1


@dataclass(frozen=True)
class Import:
    dataset: datasets.Dataset

    def __call__(self, scene: str, group: zarr.Group) -> None:
        store.write_scene(group, self.dataset.read(scene), self.dataset.root)


def scenes(params: Path = Path("params.yaml")) -> per_scene.RunSummary:
    """Import the raw scans of dataset.root, without any annotation."""
    settings = parameters.load(params)
    dataset = datasets.open_dataset(settings.dataset, settings.scenes)
    summary = per_scene.run(
        Import(dataset),
        dataset.keys(),
        OUTPUT,
        parameters=parameters.plain(settings.scenes),
        version=VERSION,
        workers=settings.runtime.workers,
        label="scenes",
    )
    lost = [len(store.lost_frames(store.scene_path(OUTPUT, scene))) for scene in store.scene_ids(OUTPUT)]
    if any(lost):
        count = f"{sum(lost)} frames of {np.count_nonzero(lost)} scenes"
        Console(stderr=True).print(f"scenes: {count} have no pose and were left out", highlight=False)
    return summary


app = command(scenes)

if __name__ == "__main__":
    app()
