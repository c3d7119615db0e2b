"""An objective as a package offers it: which settings it has, known without importing torch."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anyscene.errors import ConfigError

if TYPE_CHECKING:
    from anyscene.learning.objective import Objective


@dataclass(frozen=True)
class Entry:
    """What an entry point of the group anyscene.objectives names; its name is the kind in params.yaml."""

    title: str  # for people
    settings: (
        type  # frozen dataclass of its keys in an entry of `training`; raises ConfigError naming the key
    )
    objective: str  # "module:class" of the Objective, imported when a network is trained
    supervised: bool = False  # whether labels are shown to it
    texts: bool = False  # whether it asks for the prompts of the label set

    @property
    def module(self) -> str:
        """The module that holds the objective. Its code and all that it imports are the objective's."""
        return self.objective.partition(":")[0]

    def files(self, settings: Any) -> Sequence[Path]:
        """The files and folders that the objective reads, as its `settings` name them. When one changes, what
        it trained becomes stale. A class of its own overrides this."""
        return ()

    def memory(self, classes: int) -> int:
        """The bytes that a training keeps on disk for each point of its scenes until it ends, with so many
        classes of the label set. A class of its own overrides this."""
        return 0

    def load(self) -> type[Objective]:
        """The class of the objective. Raises ConfigError where it cannot be imported or is not what this
        entry says."""
        module, _, name = self.objective.partition(":")
        try:
            found: type[Objective] = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise ConfigError(f"{self.objective}: cannot be imported ({error})") from error
        if (found.Settings, found.supervised) != (self.settings, self.supervised):
            raise ConfigError(f"{self.objective}: its entry names other settings, or differs in `supervised`")
        return found
