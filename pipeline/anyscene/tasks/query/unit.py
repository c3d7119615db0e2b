"""What a query ranks and how much of it: words of the command line, without what answers them."""

from __future__ import annotations

from enum import StrEnum

SAMPLE = 100_000  # points whose scores tell how those of the scene are spread
TOP = 5  # groups of a text


class Unit(StrEnum):
    """What is ranked: single superpoints, or those joined that touch and show the same class."""

    object = "object"
    superpoint = "superpoint"
