"""The forms of other tools that a scene can be written in."""

from enum import StrEnum


class Format(StrEnum):
    """What can be written."""

    ply = "ply"
    pointcept = "pointcept"
    openscene = "openscene"
