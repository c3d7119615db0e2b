"""The forms of other tools in which a scene can be written."""

from enum import StrEnum


class Format(StrEnum):
    """What can be written."""

    ply = "ply"
    pointcept = "pointcept"
    openscene = "openscene"
