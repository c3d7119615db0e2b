"""A scene's results -> a file or folder that other tools read."""

from pathlib import Path
from typing import Annotated

import typer

from anyscene.cli.command import command
from anyscene.cli.options import ParamsFile, Source
from anyscene.library.location import located
from anyscene.project import store
from anyscene.show.formats import Format
from anyscene.text import load_text_encoder


def export(
    scene: Annotated[str, typer.Argument(help="id of an imported scene")],
    out: Annotated[Path, typer.Option(help="PLY to write, or the folder for pointcept and openscene")],
    format_: Annotated[Format, typer.Option("--format", help="what to write")] = Format.ply,
    source: Source = None,
    params: ParamsFile = None,
) -> None:
    """Write SCENE with predicted labels (ply), for Pointcept (OUT/SCENE/*.npy), or for OpenScene
    (OUT/SCENE_0.pt).

    For Pointcept segment.npy and instance.npy hold the annotation, where there is one, and prediction.npy
    holds what the features say.
    """
    settings, artefacts = located(params)
    store.open_imported(artefacts.data("scenes"), scene)
    from anyscene.show.export import WRITERS, explained, read  # takes PyTorch

    result = read(artefacts, scene, settings, load_text_encoder(settings.text), source)
    path = WRITERS[format_](result, out)
    features = result.features
    typer.echo(
        f"{len(features)} points, {int(features.valid.sum())} with a feature of {features.name} -> {path}"
    )
    if said := explained(result, format_):
        typer.echo(said)


app = command(export)

if __name__ == "__main__":
    app()
