"""The stages of the project at hand, as they are declared in stages/."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from anyscene.cli.command import command
from anyscene.project.stages import declared, dvc_yaml

DVC = Path("dvc.yaml")


def stages(
    write: Annotated[bool, typer.Option("--write", help="write dvc.yaml from the declarations")] = False,
) -> None:
    """List the stages of the project in the current folder, in the order in which data flow.

    Shown is what each reads and writes, and which parameters enter.
    """
    sys.path.insert(0, str(Path.cwd()))
    found = declared()
    if write:
        text = dvc_yaml(found)
        if not DVC.is_file() or DVC.read_text() != text:
            DVC.write_text(text)
            typer.echo(f"{DVC}: written, {len(found)} stages")
        return
    table = Table("stage", "reads", "writes", "parameters", box=None)
    for stage in found.values():
        name = stage.name if stage.each is None else f"{stage.name} (each of {stage.each})"
        written = map(str, (*stage.writes, *stage.metrics))
        table.add_row(name, *("\n".join(map(str, part)) for part in (stage.reads, written, stage.parameters)))
    Console(highlight=False).print(table)


app = command(stages)

if __name__ == "__main__":
    app()
