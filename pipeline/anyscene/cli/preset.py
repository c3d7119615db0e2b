"""The paper's settings for a data set -> params.yaml."""

from pathlib import Path
from typing import Annotated

import typer

from anyscene.cli.command import command
from anyscene.project import presets


def main(
    name: Annotated[str, typer.Argument(help=f"one of {', '.join(presets.names())}")],
    root: Annotated[Path | None, typer.Option(help="folder of the scans: dataset.root")] = None,
    params: Path = Path("params.yaml"),
) -> None:
    """Set params.yaml to the paper's settings for a data set; what they do not touch stays as it is."""
    settings = presets.write(name, params, root)
    typer.echo(f"{params}: {name}, scans in {settings.dataset.root}. `anyscene doctor` says what is missing,")
    typer.echo("`dvc repro report` computes; `git checkout params.yaml` takes it back.")


app = command(main)

if __name__ == "__main__":
    app()
