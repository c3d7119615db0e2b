"""The names in labels of COCO and ADE20K."""

from __future__ import annotations

import re


def names(label: str) -> tuple[str, ...]:
    """What a class of COCO or ADE20K is called: "door-stuff" -> ("door",), "sky-other-merged" -> ("sky",),
    "windowpane, window " -> ("windowpane", "window")."""
    plain = (re.sub(r"(-(stuff|other|merged))+$", "", part.strip()) for part in re.split("[,;]", label))
    return tuple(re.sub("[-_]", " ", part) for part in plain if part) or (label,)
