"""Distillation of the fused features of points and superpoints (SAS)."""

from __future__ import annotations

from dataclasses import dataclass

from anyscene.learning.entry import Entry
from anyscene.learning.objectives.distillation import Aligned
from anyscene.learning.objectives.distillation import Settings as Distillation


@dataclass(frozen=True, kw_only=True)
class Settings(Distillation, Aligned):
    """The keys of an entry of `training` with this kind."""


ENTRY = Entry(
    "superpoint distillation",
    Settings,
    "anyscene.learning.objectives.superpoint.objective:SuperpointDistillation",
)
