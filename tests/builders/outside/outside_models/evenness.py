"""An objective: features of one superpoint become alike."""

from __future__ import annotations

from dataclasses import dataclass

from anyscene.errors import ConfigError
from anyscene.learning.entry import Entry


@dataclass(frozen=True)
class Settings:
    weight: float  # of the only term

    def __post_init__(self) -> None:
        if not self.weight > 0:
            raise ConfigError(f"weight: must be more than 0, not {self.weight}")


ENTRY = Entry("evenness", Settings, "outside_models.evenness_objective:Evenness")
