"""Scenes -> data/superpoints: the superpoint of every point and the number of points of each."""

from anyscene.cli.command import stage_command
from anyscene.project import layout
from anyscene.project.freshness import Freshness
from anyscene.project.parameters import Params
from anyscene.project.stages import Stage

STAGE = Stage(
    "superpoints",
    by_scene=True,
    reads=(layout.SCENES,),
    writes=(layout.SUPERPOINTS,),
    parameters=("superpoints",),
)


def superpoints(params: Params, fresh: Freshness) -> object:
    """Divide every scene into superpoints: by its mesh, or by nearest neighbours where it has no faces."""
    from anyscene.lifting.segment_scenes import segment_scenes

    return segment_scenes(params, fresh)


app = stage_command(STAGE, superpoints)

if __name__ == "__main__":
    app()
