"""What a query ranks, and how many of it. The command line needs these words without the code that
answers."""

from __future__ import annotations

from enum import StrEnum

SAMPLE = 100_000  # at most so many points tell how the scores of a scene are spread
TOP = 5  # groups that a text finds


class Unit(StrEnum):
    """What is ranked: single superpoints, or those joined that touch and show the same class."""

    object = "object"
    superpoint = "superpoint"
