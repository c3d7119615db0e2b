"""The console command `anyscene`: every stage as a subcommand, imported only when it is asked for."""

from __future__ import annotations

import importlib

import click
import typer
from typer.core import TyperGroup

COMMANDS = {
    "world": "Build the demo's raw scans.",
    "import": "Turn the export of another tool into a scan.",
    "scenes": "Import raw scans.",
    "labels": "Import annotation, for evaluation alone.",
    "superpoints": "Divide scenes into superpoints.",
    "projection": "Carry a 2D model's features from frames to points.",
    "synthesis": "Synthesise images of the vocabulary with pseudo masks.",
    "capability": "Measure what a 2D model knows, class by class.",
    "fusion": "Fuse the 2D models' features by capability.",
    "distillation": "Train the 3D network on fused features.",
    "ensembling": "Refine the 3D network by temporal ensembling.",
    "evaluation": "Measure everything that predicts.",
    "report": "Write reports/index.html.",
    "frames": "Write the images that 2D models are shown, for models that run elsewhere.",
    "convert": "Take what another 2D model's scripts wrote of these images.",
    "predict": "Label the points of a scene with the trained network.",
    "query": "Find what free texts name in a scene.",
    "view": "Look at a scene in the browser: layers, text queries, points.",
    "export": "Write a scene's results for other tools.",
    "instances": "Score proposals of objects, named by their features.",
    "inspect": "Show what an artefact holds.",
    "weights": "List, verify and fetch published weights.",
    "preset": "Set params.yaml to the paper's settings for a data set.",
    "doctor": "Check that this machine can run the pipeline.",
    "zoo": "Train the demo's small models.",
}
MODULES = {"import": "capture"}  # whose names are no names of commands


class Stages(TyperGroup):
    """Lists the commands without importing them: torch alone takes seconds."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command = typer.main.get_command(importlib.import_module(f"stages.{module(name)}").app)
        command.name = name
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def module(name: str) -> str:
    """The module of `stages` that holds a command."""
    return MODULES.get(name, name)


app = typer.Typer(cls=Stages, rich_markup_mode=None, add_completion=False, no_args_is_help=True)


@app.callback()
def main() -> None:
    """Language-aligned features for every point of a posed RGB-D scan. `dvc repro` runs all stages."""


if __name__ == "__main__":
    app()
