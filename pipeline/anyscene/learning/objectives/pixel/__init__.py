"""Distillation of the fused features of points, without superpoints: the baseline of the paper."""

from __future__ import annotations

from anyscene.learning.entry import Entry
from anyscene.learning.objectives.distillation import Settings

ENTRY = Entry(
    "pixel distillation", Settings, "anyscene.learning.objectives.pixel.objective:PixelDistillation"
)
