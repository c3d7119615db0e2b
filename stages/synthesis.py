"""Vocabulary -> data/synthesis: for each class images, attention to its name, pseudo masks."""

from anyscene.cli import named
from anyscene.cli.command import stage_command
from anyscene.project import layout
from anyscene.project.freshness import Freshness
from anyscene.project.parameters import Params
from anyscene.project.stages import Stage

STAGE = Stage(
    "synthesis",
    by_scene=True,
    writes=(layout.SYNTHESIS,),
    parameters=("synthesis", "vocabulary"),
    files=named.synthesis_files,
)


def synthesis(params: Params, fresh: Freshness) -> object:
    """Synthesise images of every class of the vocabulary, with pseudo masks."""
    from anyscene.capability.synthesise_classes import synthesise_classes

    return synthesise_classes(params, fresh)


app = stage_command(STAGE, synthesis)

if __name__ == "__main__":
    app()
