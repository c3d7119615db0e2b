"""A scene in the browser: layers, text queries, what is known of a point."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from anyscene.cli.command import command
from anyscene.cli.options import ParamsFile, Source
from anyscene.datasets import imports
from anyscene.errors import StoreError
from anyscene.library.location import is_imported, located, read_scan
from anyscene.project import store
from anyscene.project.layout import Artefacts
from anyscene.project.parameters import Params
from anyscene.show.viewer import DRAWN
from anyscene.text import load_text_encoder


def view(
    scene: Annotated[
        str | None,
        typer.Argument(
            help="id of an imported scene, or a scan or export: a folder or an archive; default: the first "
            "of the split"
        ),
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
    settings, artefacts = located(params)
    there = scene is None or is_imported(artefacts, scene) or not Path(scene).exists()
    elsewhere = None if scene is None or there else Path(scene)
    if elsewhere is None and scene is not None:
        store.open_imported(artefacts.data("scenes"), scene)
    import torch

    torch.set_num_threads(1)  # a text is little work: a browser that draws beside it needs the other cores
    if elsewhere is None:
        _serve(settings, artefacts, scene, port, source, points, dark)
        return
    with imports.as_scan(elsewhere, None, imports.ExportOptions(), None, 1) as (folder, said):
        if said:
            typer.echo(said)
        with _imported(folder, settings, artefacts, source) as (settings, artefacts, source):
            _serve(settings, artefacts, folder.name, port, source, points, dark)


def _serve(
    settings: Params,
    artefacts: Artefacts,
    scene: str | None,
    port: int,
    source: str | None,
    points: int,
    dark: bool,
) -> None:
    from anyscene.show.viewer.page import Page
    from anyscene.show.viewer.scene_view import SceneView

    encoder = load_text_encoder(settings.text)
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


@contextmanager
def _imported(
    folder: Path, settings: Params, artefacts: Artefacts, source: str | None
) -> Iterator[tuple[Params, Artefacts, str]]:
    """Import a scan as the only scene of a temporary project, and yield this project and the folder of the
    network."""
    from anyscene.tasks import sources
    from anyscene.tasks.surface import Surface

    if source is not None:
        sources.check(artefacts, source)
    network = sources.folder(artefacts, source).resolve()
    settings = replace(settings, dataset=replace(settings.dataset, root=str(folder.resolve().parent)))
    scan = read_scan(folder, settings)
    with tempfile.TemporaryDirectory() as temporary:
        there = Artefacts(Path(temporary))
        groups = []
        for stage in ("scenes", "superpoints"):
            there.data(stage).mkdir(parents=True)
            groups.append(store.create(store.scene_path(there.data(stage), scan.id), "temporary"))
        store.write_scene(groups[0], scan, Path(settings.dataset.root))
        store.write(groups[1], "superpoint", Surface.of_scan(scan, settings.superpoints).superpoint)
        yield settings, there, str(network)


app = command(view)

if __name__ == "__main__":
    app()
