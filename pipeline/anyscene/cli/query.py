"""Free texts -> where in a scene they are: ranked groups of superpoints, heat maps as PLY and PNG, JSON.

The scene is one that the pipeline knows, or any scan, export of a capture, mesh or cloud: those go through
the trained network on the spot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.table import Table
from rich.text import Text

from anyscene.cli.command import command
from anyscene.cli.options import In, ParamsFile, Source, Worlds
from anyscene.cli.told import ANYTHING, Told, with_told
from anyscene.datasets import ply
from anyscene.errors import TextError
from anyscene.library import opening
from anyscene.project import outputs
from anyscene.project.console import stdout
from anyscene.project.parameters import same_words
from anyscene.show import picture_files
from anyscene.tasks.query.groups import ALWAYS, DECIMALS, ORDER, TOP, Unit, decimals
from anyscene.tasks.query.similarity import By
from anyscene.text.limits import require_question

if TYPE_CHECKING:
    from anyscene.tasks.query.session import Answer, FoundThrough, Session
    from anyscene.tasks.surface import Surface

PICTURE = (960, 720)


@with_told
def query(
    scene: Annotated[str, typer.Argument(help=ANYTHING)],
    text: Annotated[list[str], typer.Argument(help='what to find, such as "somewhere to sit"; one or more')],
    negative: Annotated[
        list[str] | None, typer.Option("--not", help="what is not meant; may be given several times")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="PLY to write: score (similarity) of each text and colour per vertex")
    ] = None,
    png: Annotated[
        Path | None, typer.Option(help="picture of the heat maps to write, each with its own scale")
    ] = None,
    json_: Annotated[Path | None, typer.Option("--json", help="ranked groups to write")] = None,
    top: Annotated[int, typer.Option(min=0, help="how many groups to list")] = TOP,
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
    source: Source = None,
    world: In = Worlds.scene,
    *,
    told: Told,
    params: ParamsFile = None,
) -> None:
    """Show where in SCENE the features are closest to each TEXT.

    A text always finds something: a score does not tell whether the thing is there. Groups stand in the order
    of their scores less a standard error, which is large for little surface.
    """
    for one in text:
        require_question(one, negative or ())
    if twins := same_words(text):
        raise TextError(f"{twins[0]!r} and {twins[1]!r} are one text; ask for it once")
    if out is not None:
        outputs.check(out, ply.ENDING)
    if png is not None:
        picture_files.check(png)
    if json_ is not None:
        outputs.check(json_, ".json")
    opening.require_features(scene, source, params)
    console = stdout()
    cloud = opening.open(scene, source=source, project=params, show_progress=True, **vars(told))
    from anyscene.show import heat_map  # takes PyTorch

    if cloud.remarks:
        typer.echo(cloud.remarks)
    surface = cloud.surface
    # without colours to write, scores of a sample of the points are enough
    drawn = None if out is None and png is None else np.arange(len(surface))
    session = cloud.session(group, drawn)
    asked = (session.ask(cloud.encoder, one, negative or (), top, by) for one in text)
    answers = [answer.placed(surface, world.literal) for answer in asked]
    for answer in answers:
        console.print(_table(session, answer, "m" if world is Worlds.scene else "its unit"))
    if any(answer.matches for answer in answers):
        typer.echo(f"{ALWAYS} (`anyscene query --help`).")
    if out is not None:
        _write_ply(out, surface, answers, world)
        console.print(f"heat map: {out}")
    if png is not None:
        picture_files.write(png, heat_map.sheet(surface, answers, PICTURE))
        console.print(f"picture: {png}")
    if json_ is not None:
        record: dict[str, Any] = {"scene": session.scene, "source": session.source}
        record |= {"group": group.value, "by": by.value, "world": world.value}
        record["queries"] = [answer.record() for answer in answers]
        outputs.write(json_, json.dumps(record, indent=2, ensure_ascii=False) + "\n")
        console.print(f"groups: {json_}")


def _table(session: Session, answer: Answer, unit: str) -> Table:
    title = f"{answer.text!r} in {session.scene} ({session.source})"
    table = Table(title=title, title_justify="left", caption_justify="left", box=None, pad_edge=False)
    table.add_column("", justify="right")
    table.add_column("shows")
    table.add_column("found as")
    for name in ("score", "area / m²", "points", f"centre / {unit}", f"extent / {unit}"):
        table.add_column(name, justify="right")
    rows = zip(answer.shows, answer.through, answer.matches, strict=True)
    for rank, (name, through, match) in enumerate(rows, 1):
        counts = (f"{match.score:.{DECIMALS}f}", f"{match.area:.2f}", f"{match.points:,}")
        places = (decimals(match.centre, 2), decimals(match.extent, 2))
        table.add_row(str(rank), Text(name), Text(_found_as(through)), *counts, *places)
    glosses = {through.name: through.gloss for through in answer.through if through and through.gloss}
    notes = [f"* {name}: {gloss}" for name, gloss in glosses.items()]
    if not answer.in_order:
        notes.append(ORDER)
    if notes:
        table.caption = Text("\n".join(notes))
    return table


def _found_as(through: FoundThrough | None) -> str:
    if through is None:
        return ""
    return f"{through.name}*" if through.gloss else through.name


def _write_ply(out: Path, surface: Surface, answers: list[Answer], world: Worlds) -> None:
    from anyscene.show import heat_map

    names = ["similarity"] if len(answers) == 1 else [f"similarity_{i}" for i in range(len(answers))]
    scores = [np.nan_to_num(answer.score, nan=-1.0) for answer in answers]
    comments = [f"{name}: {json.dumps(answer.text)}" for name, answer in zip(names, answers, strict=True)]
    columns = dict(zip(names, scores, strict=True))
    heat = heat_map.colours(surface, answers)
    xyz = surface.xyz_in(world.literal)
    ply.write_mesh(out, xyz, heat, surface.face, comments=comments, **columns)


app = command(query, "query")

if __name__ == "__main__":
    app()
