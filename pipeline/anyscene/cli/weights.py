"""Published weights: which there are, whether those on disk are they, and fetching them."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from anyscene.cli.command import reporting
from anyscene.cli.options import Json
from anyscene.errors import PipelineError
from anyscene.project import layout, parameters, presets
from anyscene.project.console import stdout
from anyscene.weights import catalogue, needed

if TYPE_CHECKING:
    from anyscene.weights.verifying import Finding

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="Published weights: which there are, whether those on disk are they, and fetching them.",
)
Names = Annotated[list[str] | None, typer.Argument(help="of `anyscene weights list`; default: those there")]
Preset = Annotated[
    str | None,
    typer.Option(help=f"where {', '.join(presets.names())} will look for them; params.yaml stays as it is"),
]
MARKS = {"fine": "green", "unverified": "yellow", "missing": "red", "damaged": "red"}


@app.command("list")
@reporting
def list_(params: Path = layout.PARAMETERS, preset: Preset = None, as_json: Json = False) -> None:
    """What is known: source, licence, size, sha256, and where it is expected."""
    root = _root(_settings(params, preset))
    if as_json:
        typer.echo(json.dumps([_record(entry, root) for entry in catalogue.CATALOGUE], indent=2))
        return
    console = stdout()
    console.soft_wrap = True
    for entry in catalogue.CATALOGUE:
        there = ", there" if entry.complete(root) else ""
        console.print(Text.assemble((entry.name, "bold"), f" {entry.what}{there}"))
        console.print(f"    {entry.source}, {entry.licence}, {_size(entry.size)}")
        for file in entry.files:
            sha256 = f"  sha256 {file.sha256}" if file.sha256 else ""
            console.print(f"    {root / entry.folder / file.name}{sha256}")


@app.command()
@reporting
def verify(
    names: Names = None, params: Path = layout.PARAMETERS, preset: Preset = None, as_json: Json = False
) -> None:
    """Check what is on disk: there, whole, and what was published, where that is known."""
    root = _root(_settings(params, preset))
    entries = [catalogue.get(name) for name in names or ()]
    entries = entries or [entry for entry in catalogue.CATALOGUE if _begun(entry, root)]
    if not entries:
        raise PipelineError(f"{root}: no published weights are there; `anyscene weights list` names them")
    from anyscene.weights import verifying  # takes PyTorch

    found = [finding for entry in entries for finding in verifying.verify(entry, root)]
    if as_json:
        records = [{"file": str(one.file), "state": one.state, "said": one.said} for one in found]
        typer.echo(json.dumps(records, indent=2))
    else:
        _print(found)
    bad = [finding for finding in found if finding.state in ("missing", "damaged")]
    if bad:
        raise PipelineError(f"{len(bad)} of {len(found)} files are missing or damaged")


@app.command()
@reporting
def fetch(
    names: Annotated[
        list[str] | None, typer.Argument(help="of `anyscene weights list`; default: those that are needed")
    ] = None,
    params: Path = layout.PARAMETERS,
    preset: Preset = None,
    as_json: Json = False,
) -> None:
    """Download weights to where they are expected, whole and checked or not at all.

    Without NAMES all that the parameters name, or those of --preset, and which of them must be fetched by
    hand.
    """
    settings = _settings(params, preset)
    root = _root(settings)
    entries = [catalogue.get(name) for name in names] if names else needed.of(settings)
    if not entries:
        raise PipelineError(f"{params}: names no published weights; give names of `anyscene weights list`")
    by_hand = [] if names else [entry for entry in entries if not entry.fetchable]
    from anyscene.weights import fetching  # takes PyTorch

    def tell(line: str) -> None:
        typer.echo(line, err=as_json)

    for entry in entries:
        if entry not in by_hand:
            tell(f"{entry.name}: {entry.source}, {entry.licence}, {_size(entry.size)}")
            fetching.fetch(entry, root, tell)
    for entry in by_hand:
        tell(f"{entry.name}: {'there' if entry.complete(root) else entry.remedy}: {root / entry.folder}")
    if as_json:
        records = [_record(entry, root) | {"remedy": entry.remedy} for entry in entries]
        typer.echo(json.dumps(records, indent=2))


def _settings(params: Path, preset: str | None) -> parameters.Params:
    return presets.load(preset, params) if preset else parameters.load(params)


def _root(settings: parameters.Params) -> Path:
    return Path(settings.segmenters.weights)


def _record(entry: catalogue.PublishedWeights, root: Path) -> dict[str, object]:
    files = [{"path": str(root / entry.folder / one.name), "sha256": one.sha256} for one in entry.files]
    about = {"name": entry.name, "what": entry.what, "source": entry.source, "licence": entry.licence}
    return {**about, "bytes": entry.size, "there": entry.complete(root), "files": files}


def _begun(entry: catalogue.PublishedWeights, root: Path) -> bool:
    return any((root / entry.folder / file.name).is_file() for file in entry.files)


def _print(found: "Iterable[Finding]") -> None:
    table = Table("", "file", "found", box=None)
    for finding in found:
        table.add_row(Text(finding.state, MARKS[finding.state]), str(finding.file), finding.said)
    stdout().print(table)


def _size(size: int | None) -> str:
    return "size not published" if size is None else f"{size / 1e9:.2f} GB"


if __name__ == "__main__":
    app()
