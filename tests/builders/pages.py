"""The pages of the project as Markdown has them: their links, their headings and their code."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.builders import REPOSITORY

PARSER = MarkdownIt("commonmark").enable("table")
# "checked, not run": what it calls must be there
MARK = re.compile(r"<!-- (checked, )?not run: (.+?) -->\s*", re.DOTALL)
FILE = re.compile(r"# ([\w./-]+\.py)\n")  # the first line of code that is a file
TARGET = re.compile(r"""(?:src|srcset|href)=["']([^"']+)["']""")


@dataclass(frozen=True)
class Block:
    """Code on a page."""

    page: Path
    line: int
    language: str  # "" where the page does not say
    code: str
    reason: str | None  # why it is not run, by the comment above it
    checked: bool  # whether it is checked, although it is not run

    @property
    def file(self) -> str | None:
        """The file of a package that the code is, by its first line."""
        found = FILE.match(self.code)
        return found.group(1) if found and self.language == "python" else None

    def __str__(self) -> str:
        return f"{self.page.relative_to(REPOSITORY)}:{self.line}"


def pages() -> list[Path]:
    """README, the changelog and all of docs/."""
    return [REPOSITORY / "README.md", REPOSITORY / "CHANGELOG.md", *sorted(REPOSITORY.glob("docs/**/*.md"))]


def blocks(page: Path) -> list[Block]:
    """All code on the page that is not inside a line, in order."""
    found, before = [], None
    for token in PARSER.parse(page.read_text()):
        if token.type in ("fence", "code_block"):
            mark = MARK.fullmatch(before.content) if before is not None else None
            language = token.info.strip().partition(" ")[0]
            reason = mark.group(2) if mark else None
            checked = reason is None or bool(mark.group(1))
            found.append(Block(page, token.map[0] + 1, language, token.content, reason, checked))
        before = token if token.type == "html_block" else None
    return found


def links(page: Path) -> list[str]:
    """What the page links to and shows, as it is written there."""
    return [target for token in _walk(PARSER.parse(page.read_text())) for target in _targets(token)]


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives the page's headings."""
    found: set[str] = set()
    tokens = PARSER.parse(page.read_text())
    for heading, inline in itertools.pairwise(tokens):
        if heading.type == "heading_open":
            text = "".join(
                token.content for token in inline.children if token.type in ("text", "code_inline")
            )
            anchor = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
            same = [anchor, *(f"{anchor}-{count}" for count in range(1, 100))]
            found.add(next(name for name in same if name not in found))
    return found


def _walk(tokens: list[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from _walk(token.children or [])


def _targets(token: Token) -> list[str]:
    if token.type in ("html_block", "html_inline"):
        return TARGET.findall(token.content)
    target = token.attrGet("href") or token.attrGet("src")
    return [] if target is None else [str(target)]
