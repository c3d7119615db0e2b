"""What the other stages have written -> reports/index.html, to look at offline; timings.html beside it."""

from pathlib import Path
from typing import Annotated

import typer

from anyscene.cli import named
from anyscene.cli.command import stage_command
from anyscene.project import layout
from anyscene.project.freshness import Freshness
from anyscene.project.parameters import Params
from anyscene.project.stages import Stage

STAGE = Stage(
    "report",
    reads=(
        layout.CAPABILITY,
        layout.FUSION,
        layout.LABELS,
        layout.METRICS,
        layout.PLOTS,
        layout.PROJECTION,
        layout.SCENES,
        layout.SUPERPOINTS,
        layout.SYNTHESIS,
        layout.TRAINED,
    ),
    writes=(layout.PAGE,),
    parameters=tuple(sorted(Params.__annotations__.keys() - {"runtime"})),  # the page shows them
    files=named.together(
        named.text_file, named.label_table, named.official_splits, named.task_files, named.other_networks
    ),
    modules=named.task_code,
)


def report(
    params: Params,
    fresh: Freshness,
    picture: Annotated[
        Path | None, typer.Option(help="write a picture of one scene in place of the page")
    ] = None,
    scene: Annotated[str | None, typer.Option(help="its name; default: the first of the split")] = None,
) -> None:
    """Write reports/index.html, and say in it what is missing where the run is partial."""
    from anyscene.project.stages import before, declared
    from anyscene.show.report import page, strip
    from anyscene.show.report.run import Run

    if picture is not None:
        strip.write(scene, Run(params, layout.Artefacts()), picture)
    else:
        stages = before(STAGE.name, declared(Path(__file__).parent), params)
        page.write(params, layout.Artefacts(), stages)


app = stage_command(STAGE, report)

if __name__ == "__main__":
    app()
