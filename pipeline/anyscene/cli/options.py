"""Options that several commands have."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from anyscene.scene import World

Source = Annotated[
    str | None,
    typer.Option(
        help="whose features: fusion, projection/MODEL, a network under models/ by its name, or any by the "
        "path of its folder; "
        "default: the most refined network, else fusion"
    ),
]


class Worlds(StrEnum):
    """The values of `scene.World`."""

    scene = "scene"
    source = "source"

    @property
    def literal(self) -> World:
        """As the library takes it."""
        return "scene" if self is Worlds.scene else "source"


In = Annotated[
    Worlds,
    typer.Option(
        "--world",
        help="where results are given: scene (metres, z up, near the origin), or source: the world of your "
        "own files, with its unit and the coordinates of its map",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="print JSON instead of a table")]
ParamsFile = Annotated[
    Path | None,
    typer.Option("--params", help="parameters; default: params.yaml here, or built-in ones without it"),
]
