"""Relative links and anchors of Markdown pages: names each that leads nowhere, and fails.

usage: python install/links.py PAGE.md ...
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from urllib.parse import unquote

FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)|(?:src|srcset|href)=\"([^\"]+)\"")
HEADING = re.compile(r"^#+\s+(.+?)\s*#*$", re.MULTILINE)
ANCHOR = re.compile(r"<a (?:id|name)=\"([^\"]+)\"")


def anchors(page: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them, and those that it sets itself."""
    found: dict[str, int] = {}
    made = set(ANCHOR.findall(page))
    for heading in HEADING.findall(FENCE.sub("", page)):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
        name = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        made.add(name if name not in found else f"{name}-{found[name]}")
        found[name] = found.get(name, 0) + 1
    return made


def broken(page: Path) -> list[str]:
    """The links of `page` that lead to no file, or to no heading of a page."""
    wrong = []
    for link in (one or other for one, other in LINK.findall(FENCE.sub("", page.read_text("utf-8")))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / unquote(path) if path else page
        if not target.exists():
            wrong.append(f"{page}: {link}: no such file")
        elif anchor and target.suffix == ".md" and anchor not in anchors(target.read_text("utf-8")):
            wrong.append(f"{page}: {link}: no such heading")
    return wrong


if __name__ == "__main__":
    found = [line for name in sys.argv[1:] for line in broken(Path(name))]
    print("\n".join(found), end="\n" if found else "")
    sys.exit(bool(found))
