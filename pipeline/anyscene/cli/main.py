"""The console command `anyscene`: tools, and the stages of the project that one stands in."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import click
import typer
from typer.core import TyperGroup

from anyscene.errors import PipelineError

STAGES = {  # in the order in which data flow
    "world": "Build the demo's raw scans.",
    "scenes": "Import raw scans.",
    "labels": "Import annotation, for evaluation alone.",
    "superpoints": "Divide scenes into superpoints.",
    "projection": "Carry a 2D model's features from frames to points.",
    "synthesis": "Synthesise images of the vocabulary with pseudo masks.",
    "capability": "Measure what a 2D model knows, class by class.",
    "fusion": "Fuse the 2D models' features by capability.",
    "training": "Train a 3D network of params.yaml.",
    "evaluation": "Measure everything that predicts.",
    "report": "Write reports/index.html.",
}
TOOLS = {
    "import": "Turn the export of another tool into a scan.",
    "query": "Find what free texts name in a scene.",
    "view": "Look at a scene in the browser: layers, text queries, points.",
    "predict": "Label the points of a scene with the trained network.",
    "export": "Write a scene's results for other tools.",
    "instances": "Score proposals of objects, named by their features.",
    "inspect": "Show what an artefact holds.",
    "frames": "Write the images that 2D models are shown, for models that run elsewhere.",
    "convert": "Take what another 2D model's scripts wrote of these images.",
    "weights": "List, verify and fetch published weights.",
    "preset": "Set params.yaml to the paper's settings for a data set.",
    "doctor": "Check that this machine can run the pipeline.",
}
MODULES = {"import": "import_"}  # a word of the language


class Commands(TyperGroup):
    """Lists the commands without importing them: torch alone takes seconds."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*STAGES, *TOOLS]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in STAGES and name not in TOOLS:
            return None
        try:
            found = typer.main.get_command(load(name))
        except PipelineError as error:
            ctx.fail(str(error))
        found.name = name
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, commands in (("Stages", STAGES), ("Tools", TOOLS)):
            with formatter.section(title):
                formatter.write_dl(list(commands.items()))


def load(name: str) -> typer.Typer:
    """The command `name`. Tools are part of this package and import nothing from the current folder; a stage
    is a file of the project in it. Raises PipelineError where there is no such project."""
    if name in TOOLS:
        return importlib.import_module(f"anyscene.cli.{MODULES.get(name, name)}").app
    if not Path("stages", f"{name}.py").is_file():
        raise PipelineError(
            f"{name} is a stage of a project; run it in a clone of the repository, where stages/{name}.py is"
        )
    if sys.path[0] != str(Path.cwd()):
        sys.path.insert(0, str(Path.cwd()))
    return importlib.import_module(f"stages.{name}").app


app = typer.Typer(cls=Commands, rich_markup_mode=None, add_completion=False, no_args_is_help=True)


@app.callback()
def main() -> None:
    """Language-aligned features for every point of a posed RGB-D scan. `dvc repro` runs all stages."""


if __name__ == "__main__":
    app()
