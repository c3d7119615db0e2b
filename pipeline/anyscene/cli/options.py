"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anyscene.project import parameters
from anyscene.project.layout import Artefacts

if TYPE_CHECKING:
    from anyscene.scene import Scene

PARAMS = Path("params.yaml")

Source = Annotated[
    str | None,
    typer.Option(
        help="whose features: fusion, a network under models/ by its name, or any by the path of its folder; "
        "default: the most refined network, else fusion"
    ),
]
Json = Annotated[bool, typer.Option("--json", help="print JSON instead of a table")]
ParamsFile = Annotated[
    Path | None,
    typer.Option("--params", help="parameters; default: params.yaml here, or built-in ones without it"),
]


def project(params: Path | None) -> tuple[parameters.Params, Artefacts]:
    """The parameters, and the artefacts beside their file. A tool works outside any project too, on scans by
    their path with a network by its path. Raises ConfigError."""
    path = params or PARAMS
    settings = parameters.load(path) if params or path.is_file() else parameters.defaults()
    return settings, Artefacts(path.parent)


def is_imported(artefacts: Artefacts, scene: str) -> bool:
    """Whether `scene` is the id of an imported scene, and not the path of a scan."""
    from anyscene.project import store

    return scene == Path(scene).name and store.scene_path(artefacts.data("scenes"), scene).is_dir()


def read_scan(folder: Path, settings: parameters.Params) -> Scene:
    """A scan in the rgbd form by its folder. Raises DataError naming the file that is wrong."""
    from anyscene.datasets.rgbd import Rgbd

    folder = folder.resolve()
    section = settings.scenes
    return Rgbd(folder.parent, settings.dataset.name, section.frame_stride, section.voxel).read(folder.name)
