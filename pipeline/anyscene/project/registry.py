"""What packages offer by name through entry points: 2D models, readers, objectives and tasks.

A package offers something by a line in its pyproject.toml, and is found once it is installed:

    [project.entry-points."anyscene.segmenters"]
    mine = "my_package.mine:ENTRY"
"""

from __future__ import annotations

import functools
import os
import sys
from dataclasses import dataclass
from importlib import metadata

from anyscene.errors import ConfigError
from anyscene.project import extras


@dataclass(frozen=True)
class Registry:
    """The entry points of one group. Their names are known without an import; an entry is imported when it is
    asked for."""

    group: str  # "anyscene.segmenters", "anyscene.readers", "anyscene.objectives" or "anyscene.tasks"

    def names(self) -> tuple[str, ...]:
        """The names of all entries, sorted."""
        return tuple(sorted(self._entries().names))

    def module(self, name: str) -> str:
        """The name of the module that holds the entry `name`; it is not imported. Raises ConfigError where no
        package offers that name."""
        for entry in self._entries().select(name=name):
            return entry.module
        raise ConfigError(f"{self.group}: nothing is called {name!r}; known: {', '.join(self.names())}")

    def get(self, name: str) -> object:
        """The object that the entry `name` stands for.

        Raises ConfigError where no package offers that name, where several do, and where the entry cannot be
        imported.
        """
        found = tuple(self._entries().select(name=name))
        if not found:
            known = ", ".join(self.names()) or "none"
            raise ConfigError(f"{self.group}: nothing is called {name!r}; known: {known}")
        if len({entry.value for entry in found}) > 1:
            offers = " and ".join(entry.value for entry in found)
            raise ConfigError(f"{self.group}: {name!r} is offered by {offers}; uninstall one of the packages")
        try:
            return found[0].load()
        except (ImportError, AttributeError) as error:
            needed = extras.remedy(error) if isinstance(error, ImportError) else None
            remedy = f"it {needed}" if needed else "install its package again"
            raise ConfigError(
                f"{self.group}: {name!r} cannot be imported from {found[0].value} ({error}); {remedy}"
            ) from error

    def _entries(self) -> metadata.EntryPoints:
        return _installed(self.group, tuple(map(_state, sys.path)))


@functools.lru_cache(maxsize=16)
def _installed(group: str, places: tuple[tuple[str, int], ...]) -> metadata.EntryPoints:
    """The entry points of a group that are installed in `places`, the states of the folders of sys.path. To
    read them takes milliseconds, and what reads params.yaml asks twenty times."""
    return metadata.entry_points(group=group)


def _state(place: str) -> tuple[str, int]:
    """A place and when a package last came to it or left it; 0 where there is none."""
    try:
        return place, os.stat(place or os.curdir).st_mtime_ns
    except OSError:
        return place, 0
