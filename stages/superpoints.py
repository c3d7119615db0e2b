"""Scenes -> data/superpoints: the superpoint of every point and the number of points of each."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zarr

from anyscene.cli.command import command
from anyscene.lifting.superpoints import segment
from anyscene.project import parameters, per_scene, store

SCENES, OUTPUT = Path("data/scenes"), Path("data/superpoints")
VERSION = 1


@dataclass(frozen=True)
class Segment:
    settings: parameters.Superpoints

    def __call__(self, scene: str, group: zarr.Group) -> None:
        source = store.open_scene(store.scene_path(SCENES, scene))
        superpoint = segment(source["xyz"][:], source["normal"][:], source["face"][:], self.settings)
        store.write(group, "superpoint", superpoint)
        store.write(group, "size", np.bincount(superpoint).astype(np.int32))


def main(params: Path = Path("params.yaml")) -> per_scene.RunSummary:
    """Divide every scene into superpoints: by its mesh, or by nearest neighbours where it has no faces."""
    settings = parameters.load(params)
    return per_scene.run(
        Segment(settings.superpoints),
        store.geometry_keys(SCENES),
        OUTPUT,
        parameters=parameters.plain(settings.superpoints),
        version=VERSION,
        workers=settings.runtime.workers,
        label="superpoints",
    )


app = command(main)

if __name__ == "__main__":
    app()
