"""Seeded rooms -> data/world: the raw captures of the demo, in the form of a user's own."""

from anyscene.cli.command import stage_command
from anyscene.project import layout
from anyscene.project.freshness import Freshness
from anyscene.project.parameters import Params
from anyscene.project.stages import Stage

STAGE = Stage(
    "world",
    reads=(layout.DEMO,),
    writes=(layout.WORLD,),
    parameters=("world",),
)


def world(params: Params, fresh: Freshness) -> None:
    """Furnish rooms, walk a noisy RGB-D camera through them and reconstruct their meshes (demo only)."""
    from anyscene.project.per_scene import worker_count
    from anyscene_demo.world import make_world

    make_world(params.world, layout.WORLD, worker_count(params.runtime.workers))


app = stage_command(STAGE, world)

if __name__ == "__main__":
    app()
