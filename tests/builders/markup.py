"""HTML as a tree, and what a person reads off it: its texts, and where its marks are."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser

VOID = {"meta", "link", "img", "br"}


class Element:
    """An element with its attributes, and what is inside: elements and texts."""

    def __init__(self, tag: str, attributes: dict[str, str]):
        self.tag, self.attributes = tag, attributes
        self.inside: list[Element | str] = []

    def __iter__(self) -> Iterator[Element]:
        """Yield this element and all below it, in the order of the page."""
        yield self
        for one in self.inside:
            if isinstance(one, Element):
                yield from one

    def all(self, tag: str, kind: str | None = None) -> list[Element]:
        """All elements of this tag below it; kind: of this class."""
        return [
            one
            for one in self
            if one.tag == tag and (kind is None or kind in one.attributes.get("class", "").split())
        ]

    def texts(self) -> list[str]:
        """All texts in it, in order, each without the space around it."""
        found = []
        for one in self.inside:
            found += one.texts() if isinstance(one, Element) else [" ".join(one.split())]
        return [text for text in found if text]

    @property
    def text(self) -> str:
        """Its texts as one."""
        return " ".join(self.texts())

    def lines(self) -> list[list[str]]:
        """The cells of a table, line by line."""
        return [[cell.text for cell in line if cell.tag in ("th", "td")] for line in self.all("tr")]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open = [Element("", {})]

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        one = Element(tag, {name: value or "" for name, value in attributes})
        self.open[-1].inside.append(one)
        if tag not in VOID:
            self.open.append(one)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.open[-1].inside.append(Element(tag, {name: value or "" for name, value in attributes}))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        self.open[-1].inside.append(data)


def read(text: str) -> Element:
    """The root above a page, or above a part of one."""
    reader = _Reader()
    reader.feed(text)
    (root,) = reader.open
    return root


def sections(page: Element) -> dict[str, Element]:
    """What is below each element with an id, and the head of the page as "header"."""
    found = {one.attributes["id"]: one for one in page if one.tag == "section"}
    return {"header": page.all("header")[0], **found}


def figures(part: Element) -> list[str]:
    """All texts with a digit."""
    return [text for text in part.texts() if any(letter.isdigit() for letter in text)]


def places(part: Element) -> list[tuple[str, ...]]:
    """All elements whose attributes hold a digit, but pictures and the shapes of markers: the tag, or the
    class where there is one, then these attributes."""
    found, markers = [], {id(below) for svg in part.all("svg", "marker") for below in svg}
    for one in part:
        values = [
            f"{name}={value}"
            for name, value in one.attributes.items()
            if name != "class" and any(letter.isdigit() for letter in value)
        ]
        if values and id(one) not in markers and one.tag != "img":
            found.append((one.attributes.get("class", one.tag), *values))
    return found
