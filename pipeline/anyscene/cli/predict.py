"""A user's own capture and a trained network -> a labelled PLY."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from anyscene import datasets, learning, networks
from anyscene.cli.command import command
from anyscene.datasets import ply
from anyscene.datasets.rgbd import Rgbd
from anyscene.project import parameters
from anyscene.text import embeddings, load_text_encoder


def main(
    folder: Annotated[Path, typer.Argument(help="one scan in the rgbd form: color/, pose/, ... or mesh.ply")],
    out: Annotated[Path, typer.Option(help="PLY to write: label per vertex, and its colour")] = Path(
        "labels.ply"
    ),
    model: Annotated[Path, typer.Option(help="folder of the trained network")] = Path("models/ensembling"),
    turns: Annotated[int, typer.Option(help="average over so many turns about the vertical")] = 1,
    labels: Annotated[str, typer.Option(help="label set (name or csv); default: dataset.label_set")] = "",
    params: Path = Path("params.yaml"),
) -> None:
    """Label every point of a scan with the trained network."""
    settings = parameters.load(params)
    label_set = datasets.label_set(labels or settings.dataset.label_set)
    folder = folder.resolve()
    reader = Rgbd(folder.parent, settings.dataset.name, settings.scenes.frame_stride, settings.scenes.voxel)
    scene = reader.read(folder.name)
    student, meta = networks.load(model)
    cloud = learning.Cloud(scene.id, scene.xyz, scene.rgb, np.zeros(len(scene.xyz), np.int32))
    text = embeddings(load_text_encoder(settings.text), label_set.prompts, settings.text.template)
    feature = learning.predict_features(student, cloud, meta["voxel"], meta["input"] == "colour", turns)
    label = label_set.of_prompts((feature @ text.T).argmax(1))
    ply.write_mesh(out, scene.xyz, label_set.colours[label], scene.face, label=label.astype(np.int32))
    count = np.bincount(label, minlength=len(label_set.names))
    for index in np.argsort(-count, kind="stable"):
        if count[index]:
            typer.echo(f"{label_set.names[index]:20} {100 * count[index] / len(label):5.1f} %")
    typer.echo(f"{len(label)} points -> {out}")


app = command(main)

if __name__ == "__main__":
    app()
