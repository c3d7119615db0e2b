"""The settings of SAS for a data set -> params.yaml."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from anyscene.cli.command import command
from anyscene.project import layout, parameters, presets


def main(
    name: Annotated[str, typer.Argument(help=f"one of {', '.join(presets.names())}")],
    root: Annotated[Path | None, typer.Option(help="folder of the scans: dataset.root")] = None,
    params: Path = layout.PARAMETERS,
    as_json: Annotated[
        bool, typer.Option("--json", help="print the keys that changed, with their values before and after")
    ] = False,
) -> None:
    """Set params.yaml to the settings of SAS for a data set; what they do not touch stays as it is."""
    before = parameters.read(params)
    settings = presets.write(name, params, root)
    if as_json:
        changed = dict(_changed(before, parameters.read(params)))
        typer.echo(json.dumps({"params": str(params), "preset": name, "changed": changed}, indent=2))
        return
    typer.echo(f"{params}: {name}, scans in {settings.dataset.root}. `anyscene doctor` says what is missing,")
    typer.echo("`dvc repro` computes; `git checkout HEAD -- params.yaml` takes back what was committed.")


def _changed(
    before: Mapping[str, Any], after: Mapping[str, Any], above: str = ""
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the path of each key whose value differs, and both values. A preset adds and removes no key."""
    for key, value in before.items():
        if isinstance(value, Mapping):
            yield from _changed(value, after[key], f"{above}{key}.")
        elif value != after[key]:
            yield f"{above}{key}", {"before": value, "after": after[key]}


app = command(main)

if __name__ == "__main__":
    app()
