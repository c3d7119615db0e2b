"""A scan, a mesh or a cloud of one's own and a trained network -> a labelled PLY."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from anyscene import datasets
from anyscene.cli.command import command
from anyscene.cli.options import In, ParamsFile, Worlds
from anyscene.cli.told import Told, with_told
from anyscene.datasets import ply
from anyscene.datasets.geometry import formats
from anyscene.library.opening import located, require_features
from anyscene.project import outputs
from anyscene.project.parameters import MOST_TURNS
from anyscene.text import embeddings, load_text_encoder


@with_told
def predict(
    scan: Annotated[
        Path,
        typer.Argument(
            help="a scan, an export (folder or archive), or a mesh or cloud "
            f"({', '.join(formats.READERS)}; also in a folder or a .zip)"
        ),
    ],
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
    labels: Annotated[str, typer.Option(help="label set (name or csv); default: dataset.label_set")] = "",
    world: In = Worlds.scene,
    *,
    told: Told,
    params: ParamsFile = None,
) -> None:
    """Label every point of SCAN with a trained network, which needs neither frames nor depth."""
    outputs.check(out, ply.ENDING)
    settings, artefacts = located(params)
    label_set = datasets.label_set(labels or settings.dataset.label_set)
    require_features(scan, source, params)
    with told.as_scene(scan, settings) as (scene, remarks):
        if remarks:
            typer.echo(remarks)
    from anyscene.networks.cloud import Cloud  # takes PyTorch
    from anyscene.tasks import sources

    trained = sources.network(artefacts, source, settings.runtime.device)
    cloud = Cloud(scene.id, scene.xyz, scene.rgb, np.zeros(len(scene.xyz), np.int32))
    text = embeddings(load_text_encoder(settings.text), label_set.prompts, settings.text.template)
    label = label_set.of_prompts(trained.closest(cloud, text, turns))
    xyz, colours = scene.xyz_in(world.literal), label_set.colours[label]
    comments = [f"label {index} {name}" for index, name in enumerate(label_set.names)]
    ply.write_mesh(out, xyz, colours, scene.face, comments=comments, label=label.astype(np.int32))
    count = np.bincount(label, minlength=len(label_set.names))
    for index in np.argsort(-count, kind="stable"):
        if count[index]:
            typer.echo(f"{index:3} {label_set.names[index]:20} {100 * count[index] / len(label):5.1f} %")
    typer.echo(f"{len(label):,} points -> {out}")


app = command(predict, "predict")

if __name__ == "__main__":
    app()
