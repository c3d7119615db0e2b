"""An objective as a package offers it: what params.yaml may say to it, known without importing torch."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from anyscene.errors import ConfigError

if TYPE_CHECKING:
    from anyscene.learning.objective import Objective


@dataclass(frozen=True)
class Entry:
    """What one of anyscene.objectives stands for; its name is the kind in params.yaml."""

    title: str  # for people, such as "superpoint distillation"
    settings: (
        type  # frozen dataclass of its keys in an entry of `training`; raises ConfigError naming the key
    )
    objective: str  # "module:class" of the Objective, imported when a network is trained
    supervised: bool = False  # whether it is shown labels
    texts: bool = False  # whether it asks for the prompts of the label set

    @property
    def module(self) -> str:
        """The module whose code, with what it imports, is the objective's."""
        return self.objective.partition(":")[0]

    def load(self) -> type[Objective]:
        """The objective's class. Raises ConfigError where it is not what this entry says."""
        module, _, name = self.objective.partition(":")
        try:
            found: type[Objective] = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise ConfigError(f"{self.objective}: cannot be imported ({error})") from error
        if (found.Settings, found.supervised) != (self.settings, self.supervised):
            raise ConfigError(f"{self.objective}: its entry says otherwise of its Settings or of supervised")
        return found
