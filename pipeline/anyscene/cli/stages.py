"""The stages of the project at hand, as they are declared in stages/."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from anyscene.cli.command import command
from anyscene.cli.options import Json
from anyscene.project import layout, outputs
from anyscene.project.console import stdout
from anyscene.project.stages import Stage, declared, dvc_yaml


def stages(
    write: Annotated[bool, typer.Option("--write", help="write dvc.yaml from the declarations")] = False,
    as_json: Json = False,
) -> None:
    """List the stages of the project in the current folder, in the order in which data flow.

    Shown is what each reads and writes, and which parameters enter.
    """
    sys.path.insert(0, str(Path.cwd()))
    found = declared()
    if write:
        text = dvc_yaml(found)
        if not layout.DVC.is_file() or layout.DVC.read_text(encoding="utf-8") != text:
            outputs.write(layout.DVC, text)
            typer.echo(f"{layout.DVC}: written, {len(found)} stages")
        return
    if as_json:
        typer.echo(json.dumps([_record(stage) for stage in found.values()], indent=2))
        return
    table = Table(box=None)
    for column in ("stage", "reads", "writes", "parameters"):
        table.add_column(column, overflow="fold")  # a path is shown whole
    for stage in found.values():
        name = stage.name if stage.each is None else f"{stage.name} (each of {stage.each})"
        written = map(str, (*stage.writes, *stage.metrics))
        table.add_row(name, *("\n".join(map(str, part)) for part in (stage.reads, written, stage.parameters)))
    stdout().print(table)


def _record(stage: Stage) -> dict[str, object]:
    written = [*stage.writes, *stage.metrics]
    return {
        "name": stage.name,
        "each": stage.each,
        "reads": [str(path) for path in stage.reads],
        "writes": [str(path) for path in written],
        "parameters": list(stage.parameters),
    }


app = command(stages)

if __name__ == "__main__":
    app()
