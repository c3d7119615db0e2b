"""Raw scans -> data/scenes: one group per scene with its cloud and an index of its frames."""

from typing import Annotated

import typer

from anyscene.cli import named
from anyscene.cli.command import stage_command
from anyscene.project import layout
from anyscene.project.freshness import Freshness
from anyscene.project.parameters import Params
from anyscene.project.stages import Stage

STAGE = Stage(
    "scenes",
    by_scene=True,
    reads=("${dataset.root}",),
    writes=(layout.SCENES,),
    parameters=("dataset.name", "dataset.reader", "scenes"),
    files=named.reader_files,
    scene_files=named.reader_splits,
    modules=named.reader_code,
    settings=named.reader_settings,
)


def scenes(
    params: Params,
    fresh: Freshness,
    replace: Annotated[
        bool, typer.Option("--replace", help="even where this removes all scenes that are there")
    ] = False,
) -> object:
    """Import the raw scans of dataset.root, without any annotation."""
    from anyscene.datasets.import_scenes import import_scenes

    return import_scenes(params, fresh, replace)


app = stage_command(STAGE, scenes)

if __name__ == "__main__":
    app()
