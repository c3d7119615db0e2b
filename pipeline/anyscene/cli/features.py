"""A scan of one's own, or a scene -> the feature of every point, for NumPy."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from anyscene.cli.command import command
from anyscene.cli.options import In, ParamsFile, Source, Worlds
from anyscene.cli.told import ANYTHING, Told, with_told
from anyscene.library import opening
from anyscene.show import feature_files


@with_told
def features(
    scene: Annotated[str, typer.Argument(help=ANYTHING)],
    out: Annotated[
        Path, typer.Option(help="what to write, by its ending: an array (.npy) or a group (.zarr)")
    ],
    source: Source = None,
    half: Annotated[bool, typer.Option("--half", help="float16 instead of float32")] = False,
    world: In = Worlds.scene,
    *,
    told: Told,
    params: ParamsFile = None,
) -> None:
    """Write the feature of every point of SCENE [N, C], and what text space they live in.

    A point without a feature has zeros.
    """
    feature_files.check(out)
    opening.require_features(scene, source, params)
    cloud = opening.open(scene, source=source, project=params, show_progress=True, **vars(told))
    if cloud.remarks:
        typer.echo(cloud.remarks)
    encoder, text = cloud.encoder, cloud.settings.text  # refused where it is of another width
    about = {
        "scene": cloud.id,
        "source": cloud.source,
        "text_encoder": text.encoder,
        "text_template": text.template,
        "channels": encoder.width,
        "normalised": False,
        "xyz": world.value,
    }
    feature = cloud.features.astype(np.float16) if half else cloud.features
    feature_files.write(out, feature, cloud.valid, cloud.surface.xyz_in(world.literal), about)
    count = int(cloud.valid.sum())
    typer.echo(f"{len(cloud):,} points, {count:,} with a feature of {cloud.source} -> {out}")


app = command(features, "features")

if __name__ == "__main__":
    app()
