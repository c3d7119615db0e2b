"""A project of one's own."""

import shlex
import subprocess
from pathlib import Path
from typing import Annotated

import typer

from anyscene.cli.command import command
from anyscene.errors import ConfigError
from anyscene.project import layout, new_project, parameters, presets


def init(
    folder: Annotated[Path, typer.Argument(help="a new folder, outside the clone or in it")],
    root: Annotated[
        Path | None, typer.Option(help="folder of the raw scans; default: scans/ in FOLDER")
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(help=f"whose settings it takes: {', '.join(presets.names())}; default: the clone's"),
    ] = None,
) -> None:
    """Make FOLDER a project of its own, in which `dvc repro` leaves the demo and other projects alone.

    It gets params.yaml, dvc.yaml, the stages and, without --preset, the demo's models: 28 MB. It becomes a
    Git repository unless it lies in one. The code stays that of the clone.
    """
    new_project.create(folder, root, preset)
    _require_git(folder)
    settings = parameters.load(folder / layout.PARAMETERS)
    typer.echo(f"{folder}: a project; its scans belong in {settings.dataset.root}. Next:")
    typer.echo(f"    cd {shlex.quote(str(folder))}")
    typer.echo('    git add --all && git commit --message "Start"')
    if preset is not None:
        typer.echo("    anyscene doctor    # which weights are missing, and the commands that get them")
    typer.echo("    dvc repro")
    typer.echo('    git add --all && git commit --message "First run"    # what an experiment goes back to')


def _require_git(folder: Path) -> None:
    """Make `folder` a Git repository, unless it lies in one: DVC wants one."""
    try:
        inside = subprocess.run(["git", "rev-parse"], cwd=folder, capture_output=True, check=False)
        if inside.returncode:
            subprocess.run(["git", "init", "--quiet"], cwd=folder, capture_output=True, check=True, text=True)
    except FileNotFoundError as error:
        raise ConfigError(f"{folder}: is written, but git is not installed; then `git init` in it") from error
    except subprocess.CalledProcessError as error:
        raise ConfigError(f"{folder}: is written, but `git init` failed: {error.stderr.strip()}") from error


app = command(init)

if __name__ == "__main__":
    app()
