"""Take over what older code made, where today's code makes the same."""

import dataclasses
import importlib
import sys
from pathlib import Path
from typing import Annotated

import typer

from anyscene.cli.command import command
from anyscene.errors import PipelineError
from anyscene.project import freshness, index, layout, parameters
from anyscene.project.stages import declared


def adopt(
    stage: Annotated[str, typer.Argument(help="a stage that works scene by scene, or training")],
    item: Annotated[str | None, typer.Argument(help="its 2D model or network, where it has one")] = None,
    check: Annotated[
        int,
        typer.Option(min=1, help="scenes to compute again, drawn at random; or first steps"),
    ] = 3,
    seed: Annotated[int, typer.Option(help="of the draw")] = 0,
    params: Path = layout.PARAMETERS,
) -> None:
    """Compute some scenes of STAGE again; if their bytes are equal, take over all that older code made.

    For changes of code, or of packages, that change no value: a refactoring need not cost days. Scenes whose
    inputs, parameters or files changed are left to the stage. What was adopted, and on which evidence, stands
    in the attributes.

    Of a training the first steps are done again; if their losses are equal bit for bit, the network and the
    checkpoint of a training that was stopped are taken over.
    """
    sys.path.insert(0, str(Path.cwd()))
    stages = declared()
    if stage not in stages:
        raise PipelineError(f"{stage}: no such stage; there are {', '.join(stages)}")
    chosen, settings = stages[stage], parameters.load(params)
    items = chosen.items(settings)
    if item not in items:
        known = f"runs for each of {', '.join(map(str, items))}; name one" if chosen.each else "has no items"
        raise PipelineError(f"{stage} {known}")
    if not (chosen.by_scene or chosen.by_step):
        raise PipelineError(
            f"{stage} works neither by scenes nor by steps; run it again: where what it writes stays "
            "the same, `dvc repro` runs nothing after it"
        )
    fresh = freshness.of(chosen, settings, item)
    fresh = dataclasses.replace(fresh, check=check, seed=seed)
    run = getattr(importlib.import_module(f"stages.{stage}"), stage)
    run(*([] if item is None else [item]), settings, fresh)
    for folder in chosen.artefacts(item):
        index.write(folder)


app = command(adopt)

if __name__ == "__main__":
    app()
