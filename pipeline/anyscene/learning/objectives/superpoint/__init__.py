"""Distillation of the fused features of points and superpoints (SAS)."""

from __future__ import annotations

from anyscene.learning.entry import Entry
from anyscene.learning.objectives.distillation import Settings

ENTRY = Entry(
    "superpoint distillation",
    Settings,
    "anyscene.learning.objectives.superpoint.objective:SuperpointDistillation",
)
