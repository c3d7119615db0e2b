"""The ids of classes in data/synthesis: any name that a vocabulary may hold, as the name of a folder."""

from __future__ import annotations

from urllib.parse import quote, unquote

ESCAPED = "/\\%"  # what no folder may hold, and what escapes are written with


def class_id(name: str) -> str:
    """The id of the class `name`: "shower_curtain", "tv%2Fmonitor".

    Classes that a vocabulary may hold together have different ids."""
    escaped = "".join(quote(one, safe="") if one in ESCAPED else one for one in name)
    return (f"%2E{escaped[1:]}" if escaped.startswith(".") else escaped).replace(" ", "_")


def spoken(id: str) -> str:
    """The class of an id in words, for a prompt: "shower curtain", "tv/monitor"."""
    return unquote(id.replace("_", " "))
