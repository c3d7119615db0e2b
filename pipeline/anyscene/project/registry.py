"""What packages offer by name through entry points: 2D models, readers, objectives and tasks.

A package offers something by a line in its pyproject.toml, and is found once it is installed:

    [project.entry-points."anyscene.segmenters"]
    mine = "my_package.mine:ENTRY"
"""

from __future__ import annotations

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
        return tuple(sorted(metadata.entry_points(group=self.group).names))

    def module(self, name: str) -> str:
        """The name of the module that holds the entry `name`; it is not imported. Raises ConfigError where no
        package offers that name."""
        for entry in metadata.entry_points(group=self.group, name=name):
            return entry.module
        raise ConfigError(f"{self.group}: nothing is called {name!r}; known: {', '.join(self.names())}")

    def get(self, name: str) -> object:
        """The object that the entry `name` stands for.

        Raises ConfigError where no package offers that name, where several do, and where the entry cannot be
        imported.
        """
        found = tuple(metadata.entry_points(group=self.group, name=name))
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
