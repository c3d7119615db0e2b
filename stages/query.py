"""A free text -> where in a scene it is: ranked superpoints, a heat map as PLY and PNG."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image
from rich.console import Console
from rich.table import Table

from pipeline import config, store
from pipeline.datasets import ply
from pipeline.errors import StoreError
from pipeline.evaluation import query as search
from pipeline.evaluation.artefacts import Artefacts
from pipeline.report import images, views
from pipeline.text import load_text_encoder
from stages import command

PICTURE = (960, 720)


def query(
    scene: Annotated[str, typer.Argument(help="id of an imported scene")],
    text: Annotated[str, typer.Argument(help='what to find, such as "somewhere to sit"')],
    out: Annotated[
        Path | None, typer.Option(help="PLY to write: similarity and its colour per vertex")
    ] = None,
    png: Annotated[Path | None, typer.Option(help="picture of the heat map to write")] = None,
    top: Annotated[int, typer.Option(min=0, help="how many superpoints to list")] = 5,
    source: Annotated[
        str | None,
        typer.Option(help="ensembling, distillation/OBJECTIVE or fusion; default: the last that there is"),
    ] = None,
    params: Path = Path("params.yaml"),
) -> None:
    """Show where in SCENE the features are closest to TEXT (cosine)."""
    settings, artefacts, console = config.load(params), Artefacts(params.parent), Console(highlight=False)
    path = store.scene_path(artefacts.data("scenes"), scene)
    if not path.is_dir():
        known = ", ".join(store.scene_ids(path.parent))
        raise StoreError(f"{scene}: no such scene; imported are {known}")
    group = store.open_scene(path)
    xyz = group["xyz"][:]
    feature, valid, source = search.scene_features(artefacts, scene, source)
    similarity = search.cosine(feature, valid, load_text_encoder(settings.text).encode([text])[0])
    superpoint = store.open_scene(store.scene_path(artefacts.data("superpoints"), scene))["superpoint"][:]
    table = Table(title=f"{text!r} in {scene} ({source})", title_justify="left", box=None, pad_edge=False)
    for name in ("", "similarity", "points", "centre / m", "extent / m"):
        table.add_column(name, justify="right")
    for rank, match in enumerate(search.best_superpoints(similarity, superpoint, xyz, top), 1):
        place, extent = (" ".join(f"{v:.2f}" for v in values) for values in (match.centre, match.extent))
        table.add_row(str(rank), f"{match.similarity:.3f}", str(match.points), place, extent)
    console.print(table)
    heat = images.heat_over(group["rgb"][:], search.relative(similarity))
    if out is not None:
        ply.write_mesh(out, xyz, heat, group["face"][:], similarity=np.nan_to_num(similarity, nan=-1.0))
        console.print(f"heat map: {out}")
    if png is not None:
        picture = views.corner_view(xyz, group["normal"][:], PICTURE).picture(heat, shaded=False)
        Image.fromarray(picture).save(png)
        console.print(f"picture: {png}")


app = command(query)

if __name__ == "__main__":
    app()
