"""A free text and a trained network -> where in a scene it is, as a heat map."""

from pathlib import Path
from typing import Annotated

import matplotlib
import numpy as np
import typer

from pipeline import config, network, store, training
from pipeline.datasets import ply
from pipeline.text import load_text_encoder
from stages import command

SCENES, SUPERPOINTS = Path("data/scenes"), Path("data/superpoints")


def main(
    scene: Annotated[str, typer.Argument(help="id of an imported scene")],
    text: Annotated[str, typer.Argument(help='what to find, such as "somewhere to sit"')],
    out: Annotated[Path, typer.Option(help="PLY to write: similarity per vertex, and its colour")] = Path(
        "query.ply"
    ),
    model: Annotated[Path, typer.Option(help="folder of the trained network")] = Path("models/ensembling"),
    params: Path = Path("params.yaml"),
) -> None:
    """Show where in SCENE the network sees what TEXT says: cosine of its features with the text."""
    settings = config.load(params)
    student, meta = network.load(model)
    cloud = training.read_cloud(SCENES, SUPERPOINTS, scene)
    feature = training.predict_features(student, cloud, meta["voxel"], meta["input"] == "colour")
    wanted = load_text_encoder(settings.text).encode([text])[0]
    similarity = feature @ wanted / np.maximum(np.linalg.norm(feature, axis=1), 1e-6)
    low, high = similarity.min(), similarity.max()
    heat = matplotlib.colormaps["inferno"]((similarity - low) / max(high - low, 1e-6), bytes=True)[:, :3]
    face = store.open_scene(store.scene_path(SCENES, scene))["face"][:]
    ply.write_mesh(out, cloud.xyz, heat, face, similarity=similarity.astype(np.float32))
    best = cloud.xyz[similarity.argmax()]
    typer.echo(f"similarity {low:.2f} to {high:.2f}, highest at {best.round(2).tolist()} m -> {out}")


app = command(main)

if __name__ == "__main__":
    app()
