"""Which names can stand in `segmenters.names`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from anyscene.errors import ConfigError
from anyscene.segmenters import REGISTRY
from anyscene.segmenters.precomputed.converters import READERS
from anyscene.weights import catalogue

if TYPE_CHECKING:
    from anyscene.project.parameters import Segmenters


def require_known(name: str, section: Segmenters) -> None:
    """Raise ConfigError where no 2D model is called `name`: no package offers it, this project knows none of
    that name that runs elsewhere, and it has no folder under `segmenters.weights`."""
    elsewhere = {entry.folder for entry in catalogue.CATALOGUE if entry.elsewhere}
    known, folder = {*REGISTRY.names(), *elsewhere, *READERS}, Path(section.weights) / name
    if name not in known and not folder.is_dir():
        raise ConfigError(
            f"segmenters.names: no 2D model is called {name!r}; known: {', '.join(sorted(known))}; if it is "
            f"another one that runs elsewhere, make the folder {folder} (`anyscene convert --help`)"
        )
