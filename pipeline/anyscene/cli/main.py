"""The console command `anyscene`: tools, and the stages of the project in the current folder."""

from __future__ import annotations

import ast
import importlib
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from typer.core import TyperCommand, TyperGroup

from anyscene import __version__
from anyscene.cli.refusals import refusals
from anyscene.project import layout
from anyscene.project.parameters import OBJECTIVES, Dataset, Segmenters
from anyscene.tasks import TASKS

TOOLS = {
    "import": "Turn the export of another tool into a scan.",
    "query": "Find what free texts name in a scene.",
    "view": "Look at a scene in the browser: layers, text queries, points.",
    "predict": "Label the points of a scan or a mesh with a trained network.",
    "features": "Write the features of a scan's points for NumPy.",
    "export": "Write a scene's results for other tools.",
    "score": "Score the classes that another program gave the points.",
    "instances": "Score proposals of objects, named by their features.",
    "inspect": "Show what an artefact holds.",
    "frames": "Write the images that 2D models are shown, for models that run elsewhere.",
    "convert": "Take what another 2D model's scripts wrote of these images.",
    "checkpoint": "Take over a trained network of OpenScene or SAS.",
    "weights": "List, verify and fetch published weights.",
    "preset": "Set params.yaml to the settings of SAS for a data set.",
    "init": "Make a folder a project of its own, beside the demo.",
    "doctor": "Check that this machine can run the pipeline.",
    "stages": "List the stages of the project, or write its dvc.yaml.",
    "adopt": "Take over what older code made, where today's makes the same.",
}
MODULES = {"import": "import_"}  # a keyword of Python cannot name a module
CODES = (
    "Exit codes: 0 done; 1 refused or failed, with a message that says what to do; 2 called wrongly; "
    "130 stopped by Ctrl-C."
)
OFFERED = {  # what packages offer, known by name without importing it
    "Tasks, which evaluation scores and report and viewer show": TASKS,
    "2D models, for segmenters.names": Segmenters.ENTRIES,
    "Readers of raw scans, for dataset.reader": Dataset.ENTRIES,
    "Objectives, for the kind of an entry of training": OBJECTIVES,
}


class Commands(TyperGroup):
    """Lists and completes the commands without importing them, because torch alone takes seconds.

    Newer releases of typer hold a copy of click. So click's types have two names, and here none.
    """

    completing = False

    def list_commands(self, ctx: Any) -> list[str]:
        return [*stages(), *TOOLS]

    def get_command(self, ctx: Any, name: str) -> Any:
        if self.completing:
            return TyperCommand(name, help={**stages(), **TOOLS}.get(name))
        if name not in TOOLS and not (known := stages()):
            ctx.fail(f"No such command {name!r}. Stages are commands of a project: run them in a clone.")
        if name not in TOOLS and name not in known:
            return None
        with refusals(f"{ctx.command_path} {name}"):
            found = typer.main.get_command(load(name))
        found.name = name
        return found

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        self.completing = True  # completion looks at every command, and needs only its name and help
        try:
            return super().shell_complete(ctx, incomplete)
        finally:
            self.completing = False

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        for title, commands in (("Stages of this project", stages()), ("Tools", TOOLS)):
            if commands:
                with formatter.section(title):
                    formatter.write_dl(list(commands.items()))
        for title, offered in OFFERED.items():
            with formatter.section(title):
                formatter.write_text(", ".join(offered.names()))


def stages() -> dict[str, str]:
    """The stages of the project in the current folder and what each does, in the order of the project; none
    outside a project. The files of stages are read and not run."""
    try:
        names = list(yaml.safe_load(layout.DVC.read_text(encoding="utf-8"))["stages"])
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError):
        return {}
    return {name: said for name in names if (said := _help(layout.STAGES / f"{name}.py")) is not None}


def _help(file: Path) -> str | None:
    """The first sentence of the docstring of the function that has the name of the file."""
    try:
        body = ast.parse(file.read_text(encoding="utf-8")).body
    except (OSError, SyntaxError, ValueError):
        return None
    for node in body:
        if isinstance(node, ast.FunctionDef) and node.name == file.stem:
            return f"{' '.join((ast.get_docstring(node) or '').split()).partition('. ')[0].rstrip('.')}."
    return None


def load(name: str) -> typer.Typer:
    """The command `name`. A tool is part of this package and imports nothing from the current folder. A stage
    is a file of the project in the current folder."""
    if name in TOOLS:
        module = f"anyscene.cli.{MODULES.get(name, name)}"
    else:
        module = f"stages.{name}"
        if sys.path[0] != str(Path.cwd()):
            sys.path.insert(0, str(Path.cwd()))
    found: typer.Typer = importlib.import_module(module).app
    return found


app = typer.Typer(cls=Commands, rich_markup_mode=None, no_args_is_help=True, epilog=CODES)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"anyscene {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Language-aligned features for every point of a posed RGB-D scan. `dvc repro` runs all stages."""


if __name__ == "__main__":
    app()
