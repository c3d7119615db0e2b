"""A scene in the browser: layers, text queries, what is known of a point."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from anyscene.cli.command import command
from anyscene.cli.options import ParamsFile, Source
from anyscene.cli.told import ANYTHING, Told, with_told
from anyscene.errors import StoreError
from anyscene.library.opening import home, is_imported, located, require, require_features
from anyscene.project import store
from anyscene.project.console import stdout
from anyscene.project.layout import Artefacts
from anyscene.project.parameters import Params
from anyscene.scene import Scene
from anyscene.show.viewer import DRAWN
from anyscene.text import load_text_encoder


@with_told
def view(
    scene: Annotated[
        str | None, typer.Argument(help=f"{ANYTHING}; default: the first scene of the split")
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="of 127.0.0.1; the next free one if taken")
    ] = 8080,
    source: Source = None,
    points: Annotated[int, typer.Option(min=0, help="drawn at once, evenly chosen; 0: all")] = DRAWN,
    dark: Annotated[bool, typer.Option("--dark", help="a dark page")] = False,
    *,
    told: Told,
    params: ParamsFile = None,
) -> None:
    """Look at SCENE in a browser on this machine, until Ctrl+C."""
    settings, artefacts = located(params)
    if scene is not None:
        require(artefacts, scene)
    import torch

    torch.set_num_threads(1)  # a text is little work: a browser that draws beside it needs the other cores
    if scene is None or is_imported(artefacts, scene):
        told.refuse("the scene is imported already")
        _serve(settings, artefacts, scene, port, source, points, dark)
    elif (found := home(Path(scene))) is not None:
        told.refuse(f"{scene} is an artefact")
        root, stage = found
        settings, name = located(params or root)[0], Path(scene).name.removesuffix(store.SUFFIX)
        _serve(settings, Artefacts(root), name, port, source or _of_stage(stage), points, dark)
    else:
        require_features(scene, source, params)
        with told.as_scene(Path(scene), settings) as (scan, remarks):
            if remarks:
                typer.echo(remarks)
            with _imported(scan, settings, artefacts, source) as (settings, artefacts, source):
                _serve(settings, artefacts, scan.id, port, source, points, dark)


def _of_stage(stage: str) -> str | None:
    """The source of features that a stage is, if it is one."""
    from anyscene.tasks import sources

    return stage if sources.is_stored(stage) else None


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
    stdout().print(f"{page.address}  (Ctrl+C ends it)")
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        page.stop()


@contextmanager
def _imported(
    scan: Scene, settings: Params, artefacts: Artefacts, source: str | None
) -> Iterator[tuple[Params, Artefacts, str]]:
    """Import a scene as the only one of a temporary project, and yield this project and the folder of the
    network."""
    from anyscene.tasks import sources
    from anyscene.tasks.surface import Surface

    if source is not None:
        sources.check(artefacts, source)
    network = sources.folder(artefacts, source).resolve()
    root = Path(Path.cwd().anchor)  # images may lie anywhere, and their paths are noted below it
    settings = replace(settings, dataset=replace(settings.dataset, root=str(root)))
    with tempfile.TemporaryDirectory() as temporary:
        there = Artefacts(Path(temporary))
        groups = []
        for stage in ("scenes", "superpoints"):
            there.data(stage).mkdir(parents=True)
            groups.append(store.create(store.scene_path(there.data(stage), scan.id), "temporary"))
        store.write_scene(groups[0], scan, root)
        store.write(groups[1], "superpoint", Surface.of_scan(scan, settings.superpoints).superpoint)
        yield settings, there, str(network)


app = command(view, "view")

if __name__ == "__main__":
    app()
