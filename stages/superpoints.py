"""Scenes -> data/superpoints: the superpoint of every point and the number of points of each."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zarr

from pipeline import config, scenewise, store
from pipeline.superpoints import segment
from stages import command

SCENES, OUTPUT = Path("data/scenes"), Path("data/superpoints")
VERSION = 1


@dataclass(frozen=True)
class Segment:
    settings: config.Superpoints

    def __call__(self, scene: str, group: zarr.Group) -> None:
        source = store.open_scene(store.scene_path(SCENES, scene))
        superpoint = segment(source["xyz"][:], source["normal"][:], source["face"][:], self.settings)
        store.write(group, "superpoint", superpoint)
        store.write(group, "size", np.bincount(superpoint).astype(np.int32))


def main(params: Path = Path("params.yaml")) -> scenewise.Summary:
    """Divide every scene into superpoints: by its mesh, or by nearest neighbours where it has no faces."""
    settings = config.load(params)
    return scenewise.run(
        Segment(settings.superpoints),
        store.geometry_keys(SCENES),
        OUTPUT,
        parameters=config.plain(settings.superpoints),
        version=VERSION,
        workers=settings.runtime.workers,
        label="superpoints",
    )


app = command(main)

if __name__ == "__main__":
    app()
