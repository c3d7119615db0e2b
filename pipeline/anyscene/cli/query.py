"""Free texts -> where in a scene they are: ranked groups of superpoints, heat maps as PLY and PNG, JSON.

The scene is one that the pipeline knows, or any scan or export of a capture: those go through the trained
network on the spot."""

import json
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image
from rich.console import Console
from rich.table import Table
from rich.text import Text

from anyscene.cli.command import command
from anyscene.cli.import_ import Confidence, DepthUnit, Every, From, Mesh, Scale, Sure, Up, given
from anyscene.datasets import imports, ply
from anyscene.project import parameters, store
from anyscene.project.layout import Artefacts
from anyscene.show import heat_map
from anyscene.tasks.query.groups import decimals
from anyscene.tasks.query.session import Answer, By, FoundThrough, Session, Unit, open_scan, open_scene
from anyscene.text import load_text_encoder

PICTURE = (960, 720)


def query(
    scene: Annotated[
        str, typer.Argument(help="id of an imported scene, or a scan or export: a folder or an archive")
    ],
    text: Annotated[list[str], typer.Argument(help='what to find, such as "somewhere to sit"; one or more')],
    negative: Annotated[
        list[str] | None, typer.Option("--not", help="what is not meant; may be given several times")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="PLY to write: score (similarity) of each text and colour per vertex")
    ] = None,
    png: Annotated[Path | None, typer.Option(help="picture of the heat maps to write")] = None,
    json_: Annotated[Path | None, typer.Option("--json", help="ranked groups to write")] = None,
    top: Annotated[int, typer.Option(min=0, help="how many groups to list")] = 5,
    group: Annotated[
        Unit, typer.Option(help="rank single superpoints, or joined those that touch and show the same class")
    ] = Unit.object,
    by: Annotated[
        By,
        typer.Option(
            help="cosine with a point's feature; vocabulary: through the classes that it shows, by their "
            "names and glosses; or both"
        ),
    ] = By.both,
    source: Annotated[
        str | None,
        typer.Option(help="ensembling, distillation/OBJECTIVE or fusion; default: the last that there is"),
    ] = None,
    export: From = None,
    scale: Scale = None,
    depth_unit: DepthUnit = None,
    up: Up = None,
    confidence: Sure = Confidence.medium,
    mesh: Mesh = None,
    every: Every = 1,
    params: Path = Path("params.yaml"),
) -> None:
    """Show where in SCENE the features are closest to each TEXT.

    Options from --from on are of exports, as for anyscene import.
    """
    settings, console = parameters.load(params), Console(highlight=False)
    artefacts, encoder = Artefacts(params.parent), load_text_encoder(settings.text)
    asked = given(scale, depth_unit, up, confidence)
    known = scene == Path(scene).name and store.scene_path(artefacts.data("scenes"), scene).is_dir()
    if known or not Path(scene).exists():
        if known:
            because = f"{scene} is a scene that is imported; of an export give the path, ./{scene}"
            imports.refuse(export, asked, mesh, every, because)
        searched = open_scene(artefacts, scene, settings, encoder, source, group)
    else:
        with imports.as_scan(Path(scene), export, asked, mesh, every) as (folder, imported):
            if imported:
                typer.echo(imported)
            searched = open_scan(artefacts, folder, settings, encoder, source, group)
    found = [searched.ask(encoder, one, negative or [], top, by) for one in text]
    for one in found:
        console.print(_table(searched, one))
    if out is not None:
        _write_ply(out, searched, found)
        console.print(f"heat map: {out}", markup=False)
    if png is not None:
        Image.fromarray(heat_map.sheet(searched, found, PICTURE)).save(png)
        console.print(f"picture: {png}", markup=False)
    if json_ is not None:
        record = {"scene": searched.scene, "source": searched.source, "group": group.value, "by": by.value}
        record["queries"] = [one.record() for one in found]
        json_.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n")
        console.print(f"groups: {json_}", markup=False)


def _table(searched: Session, one: Answer) -> Table:
    title = f"{one.text!r} in {searched.scene} ({searched.source})".replace("[", "\\[")
    table = Table(title=title, title_justify="left", caption_justify="left", box=None, pad_edge=False)
    table.add_column("", justify="right")
    table.add_column("shows")
    table.add_column("found as")
    for name in ("score", "area / m²", "points", "centre / m", "extent / m"):
        table.add_column(name, justify="right")
    for rank, (name, behind, match) in enumerate(zip(one.shows, one.behind, one.matches, strict=True), 1):
        counts = (f"{match.score:.3f}", f"{match.area:.2f}", f"{match.points:,}")
        places = (decimals(match.centre, 2), decimals(match.extent, 2))
        table.add_row(str(rank), Text(name), Text(_found_as(behind)), *counts, *places)
    glosses = {behind.name: behind.gloss for behind in one.behind if behind and behind.gloss}
    if glosses:
        table.caption = Text("\n".join(f"* {name}: {gloss}" for name, gloss in glosses.items()))
    return table


def _found_as(behind: FoundThrough | None) -> str:
    if behind is None:
        return ""
    return f"{behind.name}*" if behind.gloss else behind.name


def _write_ply(out: Path, searched: Session, found: list[Answer]) -> None:
    names = ["similarity"] if len(found) == 1 else [f"similarity_{i}" for i in range(len(found))]
    scores = [np.nan_to_num(one.score, nan=-1.0) for one in found]
    comments = [f"{name}: {json.dumps(one.text)}" for name, one in zip(names, found, strict=True)]
    columns = dict(zip(names, scores, strict=True))
    heat = heat_map.colours(searched, found)
    ply.write_mesh(out, searched.xyz, heat, searched.face, comments=comments, **columns)


app = command(query)

if __name__ == "__main__":
    app()
