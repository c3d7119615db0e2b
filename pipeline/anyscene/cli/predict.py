"""A scene, a scan, a mesh or a cloud and a trained network -> a labelled PLY."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from anyscene import datasets
from anyscene.cli.command import command
from anyscene.cli.options import In, ParamsFile, Worlds
from anyscene.cli.told import ANYTHING, Told, with_told
from anyscene.datasets import ply
from anyscene.errors import DataError, StoreError
from anyscene.library import classes
from anyscene.library.opening import is_imported, located, require_features, require_network
from anyscene.project import outputs, store
from anyscene.project.layout import Artefacts
from anyscene.project.parameters import MOST_TURNS
from anyscene.text import embeddings, load_text_encoder


@with_told
def predict(
    scene: Annotated[str, typer.Argument(help=ANYTHING)],
    out: Annotated[Path, typer.Option(help="PLY to write: label per vertex, and its colour")] = Path(
        "labels.ply"
    ),
    source: Annotated[
        str | None,
        typer.Option(
            "--source",
            "--model",
            help="a network under models/ by its name, or any by the path of its folder; default: the most "
            "refined one",
        ),
    ] = None,
    turns: Annotated[
        int, typer.Option(min=1, max=MOST_TURNS, help="number of turns about the vertical to average over")
    ] = 1,
    labels: Annotated[
        str,
        typer.Option(
            help="label set: its name, or a csv whose column `name` lists classes; default: dataset.label_set"
        ),
    ] = "",
    names: Annotated[
        list[str] | None,
        typer.Option(
            "--class", help="a class, in any words, in place of a label set; may be given several times"
        ),
    ] = None,
    world: In = Worlds.scene,
    *,
    told: Told,
    params: ParamsFile = None,
) -> None:
    """Label every point of SCENE with a trained network, which needs neither frames nor depth.

    The classes are those of a label set, or any that --class names.
    """
    outputs.check(out, ply.ENDING)
    if names and labels:
        raise DataError("--class and --labels both say which classes there are; give one of them")
    settings, artefacts = located(params)
    label_set = classes.named(names) if names else datasets.label_set(labels or settings.dataset.label_set)
    require_features(scene, source, params)
    path = Path(scene)
    if is_imported(artefacts, scene):
        told.refuse(f"{scene} is imported already; if you mean a folder of that name, give ./{scene}")
        _require_network(artefacts, scene, source)
        path = store.scene_path(artefacts.data("scenes"), scene)
    with told.as_scene(path, settings) as (scan, remarks):
        if remarks:
            typer.echo(remarks)
    from anyscene.networks.cloud import Cloud  # takes PyTorch
    from anyscene.tasks import sources

    trained = sources.network(artefacts, source, settings.runtime.device)
    cloud = Cloud(scan.id, scan.xyz, scan.rgb, np.zeros(len(scan.xyz), np.int32))
    text = embeddings(load_text_encoder(settings.text), label_set.prompts, settings.text.template)
    label = label_set.of_prompts(trained.closest(cloud, text, turns))
    xyz, colours = scan.xyz_in(world.literal), label_set.colours[label]
    comments = [f"label {index} {name}" for index, name in enumerate(label_set.names)]
    ply.write_mesh(out, xyz, colours, scan.face, comments=comments, label=label.astype(np.int32))
    count = np.bincount(label, minlength=len(label_set.names))
    for index in np.argsort(-count, kind="stable"):
        if count[index]:
            typer.echo(f"{index:3} {label_set.names[index]:20} {100 * count[index] / len(label):5.1f} %")
    typer.echo(f"{len(label):,} points -> {out}")


def _require_network(artefacts: Artefacts, scene: str, source: str | None) -> None:
    """Raise StoreError where `source` is no network, as where it is features of the imported `scene`."""
    from anyscene.tasks import sources

    if source is not None and sources.is_stored(source):
        raise StoreError(
            f"{source}: predict asks a network; `anyscene export {scene} --source {source}` writes the "
            "labels of stored features"
        )
    require_network(artefacts, source)


app = command(predict, "predict")

if __name__ == "__main__":
    app()
