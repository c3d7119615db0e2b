"""Seeded rooms -> data/world: the demo's raw captures, in the form of a user's own."""

import os
from pathlib import Path

from anyscene.cli.command import command
from anyscene.project import parameters
from anyscene_demo import world as demo

OUTPUT = Path("data/world")


def world(params: Path = Path("params.yaml")) -> None:
    """Furnish rooms, walk a noisy RGB-D camera through them and reconstruct their meshes (demo only)."""
    settings = parameters.load(params)
    workers = settings.runtime.workers or len(os.sched_getaffinity(0))
    demo.make_world(settings.world, OUTPUT, workers)


app = command(world)

if __name__ == "__main__":
    app()
