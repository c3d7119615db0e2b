"""Synthesised images -> data/capability/MODEL.json: the model's IoU with the pseudo masks by class."""

from anyscene.cli import named
from anyscene.cli.command import stage_command
from anyscene.project import layout
from anyscene.project.freshness import Freshness
from anyscene.project.parameters import Params
from anyscene.project.stages import Stage

STAGE = Stage(
    "capability",
    each="segmenters.names",
    reads=(layout.SYNTHESIS,),
    writes=(layout.CAPABILITY / "${item.model}.json",),
    parameters=("capability", "segmenters.precision", "text", "vocabulary"),
    files=named.together(named.labelling_files, named.text_file),
    modules=named.labelling_code,
    settings=named.segmenter_settings,
)


def capability(model: str, params: Params, fresh: Freshness) -> None:
    """Measure what the 2D model MODEL knows of every class of the vocabulary."""
    from anyscene.capability.measure import measure

    measure(model, params)


app = stage_command(STAGE, capability)

if __name__ == "__main__":
    app()
