"""Projections -> data/fusion: one feature per point out of all 2D models', and superpoint means."""

from anyscene.cli import named
from anyscene.cli.command import stage_command
from anyscene.project import layout
from anyscene.project.freshness import Freshness
from anyscene.project.parameters import Params
from anyscene.project.stages import Stage

STAGE = Stage(
    "fusion",
    by_scene=True,
    reads=(layout.CAPABILITY, layout.PROJECTION, layout.SUPERPOINTS),
    writes=(layout.FUSION,),
    parameters=(
        "capability.other",
        "fusion",
        "projection.store",
        "segmenters.names",
        "text",
        "vocabulary",
    ),
    files=named.text_file,
)


def fusion(params: Params, fresh: Freshness) -> object:
    """Fuse the projected features of all 2D models, weighted by what each is good at."""
    from anyscene.fusion.fuse_scenes import fuse_scenes

    return fuse_scenes(params, fresh)


app = stage_command(STAGE, fusion)

if __name__ == "__main__":
    app()
