"""Scenes -> data/projection/MODEL: the 2D model's feature of every point, mean over its frames."""

from anyscene.cli import named
from anyscene.cli.command import stage_command
from anyscene.project import layout
from anyscene.project.freshness import Freshness
from anyscene.project.parameters import Params
from anyscene.project.stages import Stage

STAGE = Stage(
    "projection",
    by_scene=True,
    each="segmenters.names",
    reads=("${dataset.root}", layout.SCENES),
    writes=(layout.PROJECTION / "${item.model}",),
    parameters=(
        "projection",
        "segmenters.captioner",
        "segmenters.nouns",
        "segmenters.precision",
        "text",
        "vocabulary",
    ),
    files=named.together(named.segmenter_files, named.text_file),
    scene_files=named.segmenter_answers,
    modules=named.segmenter_code,
    settings=named.segmenter_settings,
)


def projection(model: str, params: Params, fresh: Freshness) -> object:
    """Project the features of the 2D model MODEL onto the points of every scene."""
    from anyscene.lifting.project_scenes import project_scenes

    return project_scenes(model, params, fresh)


app = stage_command(STAGE, projection)

if __name__ == "__main__":
    app()
