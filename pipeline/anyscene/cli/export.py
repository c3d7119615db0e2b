"""The results of scenes -> files or folders that other tools read."""

from pathlib import Path
from typing import Annotated

import typer

from anyscene.cli.command import command
from anyscene.cli.options import In, ParamsFile, Source, Worlds
from anyscene.datasets import ply
from anyscene.errors import PipelineError
from anyscene.library.opening import located
from anyscene.project import outputs, store
from anyscene.project.layout import Artefacts
from anyscene.show.formats import Format
from anyscene.text import load_text_encoder


def export(
    scenes: Annotated[list[str] | None, typer.Argument(help="ids of imported scenes")] = None,
    *,
    out: Annotated[
        Path,
        typer.Option(help="PLY to write; the folder for pointcept, for openscene, and for several scenes"),
    ],
    every: Annotated[bool, typer.Option("--all", help="all imported scenes")] = False,
    split: Annotated[str | None, typer.Option(help="all scenes of a split: train, val or test")] = None,
    format_: Annotated[Format, typer.Option("--format", help="what to write")] = Format.ply,
    source: Source = None,
    world: In = Worlds.scene,
    params: ParamsFile = None,
) -> None:
    """Write SCENES with predicted labels (ply), for Pointcept (OUT/SCENE/*.npy), or for OpenScene
    (OUT/SCENE_0.pt).

    One id becomes the PLY file OUT; several, --split and --all become OUT/SCENE.ply. For Pointcept
    segment.npy and instance.npy hold the annotation, where there is one, and prediction.npy holds what the
    features say.
    """
    settings, artefacts = located(params)
    chosen = _chosen(artefacts, list(dict.fromkeys(scenes or ())), every, split)
    apart = format_ is Format.ply and (len(chosen) > 1 or every or split is not None)
    if apart and (out.is_file() or out.suffix == ".ply"):
        raise PipelineError(f"{out}: several scenes do not fit into one file; give a folder by --out")
    if apart or format_ is not Format.ply:
        outputs.check_folder(out)
    else:
        outputs.check(out, ply.ENDING)
    from anyscene.show.export import WRITERS, explained, read  # takes PyTorch

    notes = {}
    for result in read(artefacts, chosen, settings, load_text_encoder(settings.text), source):
        scene, features = result.surface.scene, result.features
        path = WRITERS[format_](result, out / f"{scene}.ply" if apart else out, world.literal)
        typer.echo(
            f"{len(features):,} points, {int(features.valid.sum()):,} with a feature of {features.name} "
            f"-> {path}"
        )
        notes[explained(result, format_)] = True
    for note in filter(None, notes):
        typer.echo(note)


def _chosen(artefacts: Artefacts, scenes: list[str], every: bool, split: str | None) -> list[str]:
    """The scenes that are meant. Raises PipelineError where it is not said in one way, and where there are
    none."""
    if (bool(scenes), every, split is not None).count(True) != 1:
        raise PipelineError("say which scenes: by their ids, by --all, or by --split")
    stored = artefacts.data("scenes")
    for scene in scenes:
        if not store.scene_path(stored, scene).is_dir() and Path(scene).exists():
            raise PipelineError(
                f"{scene}: a file or a folder, and export takes ids of scenes that the pipeline imported; "
                "`anyscene predict` writes the labels of your own scan, `anyscene features` its features, "
                "and anyscene.open(...).to_pointcept a folder for Pointcept"
            )
        store.open_imported(stored, scene)
    found = scenes or (store.scene_ids(stored) if split is None else store.split_ids(stored, split))
    if not found:
        raise PipelineError(f"{stored}: no scene{'' if split is None else f' of the split {split}'}")
    return found


app = command(export)

if __name__ == "__main__":
    app()
