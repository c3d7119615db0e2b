"""What the other stages have written -> reports/index.html, to look at offline; timings.html beside it."""

from pathlib import Path
from typing import Annotated

import typer
from PIL import Image
from rich.console import Console

from anyscene import datasets
from anyscene.cli.command import command
from anyscene.project import parameters, store
from anyscene.project.layout import Artefacts
from anyscene.show.report import drawn_scene, timings
from anyscene.show.report.page import build
from anyscene.show.report.strip import strip

PAGE, TIMINGS = Path("reports/index.html"), Path("reports/timings.html")


def report(
    params: Path = Path("params.yaml"),
    picture: Annotated[
        Path | None, typer.Option(help="write a picture of one room in place of the page")
    ] = None,
    scene: Annotated[str | None, typer.Option(help="the room; default: the first of the page")] = None,
) -> None:
    """Write reports/index.html, and say in it what is missing where the run is partial."""
    settings, artefacts = parameters.load(params), Artefacts(params.parent)
    if picture is not None:
        _draw(settings, artefacts, scene, picture)
        return
    page = build(settings, artefacts)
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page)
    TIMINGS.write_text(timings.build(settings, artefacts))
    Console(highlight=False).print(f"report: {PAGE.resolve()} ({len(page) / 1e6:.1f} MB)")


def _draw(settings: parameters.Params, artefacts: Artefacts, scene: str | None, picture: Path) -> None:
    label_set = datasets.label_set(settings.dataset.label_set)
    scene = scene or store.split_ids(artefacts.data("scenes"), settings.evaluation.split)[0]
    room = drawn_scene.draw(
        scene, settings, artefacts, label_set, drawn_scene.ablation(settings, artefacts, label_set)
    )
    picture.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(strip(room)).quantize(256).save(picture, optimize=True)


app = command(report)

if __name__ == "__main__":
    app()
