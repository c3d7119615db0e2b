"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Source = Annotated[
    str | None,
    typer.Option(
        help="whose features: fusion, projection/MODEL, a network under models/ by its name, or any by the "
        "path of its folder; "
        "default: the most refined network, else fusion"
    ),
]
Json = Annotated[bool, typer.Option("--json", help="print JSON instead of a table")]
ParamsFile = Annotated[
    Path | None,
    typer.Option("--params", help="parameters; default: params.yaml here, or built-in ones without it"),
]
