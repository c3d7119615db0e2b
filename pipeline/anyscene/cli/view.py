"""A scene in the browser: layers, text queries, what is known of a point."""

import time
from typing import Annotated

import torch
import typer
from rich.console import Console

from anyscene.cli.command import command
from anyscene.cli.options import ParamsFile, Source, project
from anyscene.errors import StoreError
from anyscene.project import store
from anyscene.show.viewer.page import Page
from anyscene.show.viewer.scene_view import DRAWN, SceneView
from anyscene.text import load_text_encoder


def view(
    scene: Annotated[
        str | None, typer.Argument(help="id of an imported scene; default: the first of the split")
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="of 127.0.0.1; the next free one if taken")
    ] = 8080,
    source: Source = None,
    points: Annotated[int, typer.Option(min=0, help="drawn at once, evenly chosen; 0: all")] = DRAWN,
    dark: Annotated[bool, typer.Option("--dark", help="a dark page")] = False,
    params: ParamsFile = None,
) -> None:
    """Look at SCENE in a browser on this machine, until Ctrl+C."""
    settings, artefacts = project(params)
    encoder = load_text_encoder(settings.text)
    torch.set_num_threads(1)  # a text is little work: a browser that draws beside it needs the other cores
    scenes = store.scene_ids(artefacts.data("scenes"))
    if not scenes:
        raise StoreError(f"{artefacts.data('scenes')}: no scene was imported; run `dvc repro scenes`")
    first = scene or (store.split_ids(artefacts.data("scenes"), settings.evaluation.split) or scenes)[0]
    page = Page(
        scenes, first, lambda name: SceneView(artefacts, name, settings, encoder, source, points), port, dark
    )
    Console(highlight=False).print(f"{page.address}  (Ctrl+C ends it)", markup=False)
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        page.stop()


app = command(view)

if __name__ == "__main__":
    app()
