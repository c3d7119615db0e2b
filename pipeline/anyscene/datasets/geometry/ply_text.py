"""PLY files in ASCII, read as a stream of numbers.

The format (G. Turk, The PLY Polygon File Format, 1994) puts each element on a line of its own. Not every tool
does: lists are broken over lines, lines are left empty, whole numbers have a decimal point. Like most readers
this one asks only that the numbers come in the order of the header.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from plyfile import PlyData, PlyElement

from anyscene.arrays import F8, Array

TYPES = {
    **dict.fromkeys(("char", "int8"), "i1"), **dict.fromkeys(("uchar", "uint8"), "u1"),
    **dict.fromkeys(("short", "int16"), "i2"), **dict.fromkeys(("ushort", "uint16"), "u2"),
    **dict.fromkeys(("int", "int32"), "i4"), **dict.fromkeys(("uint", "uint32"), "u4"),
    **dict.fromkeys(("float", "float32"), "f4"), **dict.fromkeys(("double", "float64"), "f8"),
}  # fmt: skip
END = re.compile(rb"(?<=[\r\n])end_header[ \t]*(\r\n|\r|\n)")
MOST = 1 << 20  # bytes in which a header must end
MARK = b"\xef\xbb\xbf"  # of UTF-8, which some tools put before the header or before what follows it


@dataclass
class _Element:
    name: str
    count: int
    properties: list[tuple[str, str, bool]] = field(default_factory=list)  # name, type, whether it is a list


def is_text(path: Path) -> bool:
    """Whether a file is a PLY file in ASCII. Raises OSError where it cannot be read."""
    with path.open("rb") as file:
        head = file.read(200).removeprefix(MARK).split()
    return head[:3] == [b"ply", b"format", b"ascii"]


def read(path: Path) -> PlyData:
    """The elements of a PLY file in ASCII. Raises OSError, or ValueError for a header or numbers that are
    wrong."""
    data = path.read_bytes().removeprefix(MARK)
    end = END.search(data, 0, MOST)
    if end is None:
        raise ValueError("its header does not end")
    elements, comments = _header(data[: end.start()].decode("ascii", "replace"))
    values = _numbers(data[end.end() :].removeprefix(MARK))
    done, start = [], 0
    for element in elements:
        columns, start = _columns(element, values, start)
        kinds = [(name, column.dtype, column.shape[1:]) for name, column in columns.items()]
        rows = np.empty(element.count, kinds)
        for name, column in columns.items():
            rows[name] = column
        if kinds:
            done.append(PlyElement.describe(rows, element.name))
    if start != len(values):
        raise ValueError(f"{len(values)} numbers for elements of {start}")
    return PlyData(done, text=True, comments=comments)


def _numbers(text: bytes) -> F8:
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)  # of what is no number, which it leaves out
        try:
            return np.fromstring(text, np.float64, sep=" ")
        except DeprecationWarning as error:
            raise ValueError("something in it is no number") from error


def _header(text: str) -> tuple[list[_Element], list[str]]:
    elements: list[_Element] = []
    comments: list[str] = []
    for line in text.splitlines():
        kind, _, rest = line.strip().partition(" ")
        words = re.sub(r"\{.*", "", rest).split()  # an explanation, as the description of the format has them
        if kind in ("comment", "obj_info"):
            comments.append(rest.strip())
        elif kind == "element" and len(words) == 2:
            elements.append(_Element(words[0], int(words[1])))
        elif kind == "property":
            listed = len(words) == 4 and words[0] == "list"
            value = words[2 if listed else 0].lower() if len(words) > 1 else ""
            if not elements or value not in TYPES or len(words) != (4 if listed else 2):
                raise ValueError(f"property {rest!r}")
            elements[-1].properties.append((words[-1], TYPES[value], listed))
    return elements, comments


def _columns(element: _Element, values: F8, start: int) -> tuple[dict[str, Array], int]:
    """(the columns of an element by their names, where the next begins)."""
    if not any(listed for _, _, listed in element.properties):
        width = len(element.properties)
        rows = _taken(element, values, start, element.count * width).reshape(element.count, width)
        columns = {
            name: _typed(column, kind)
            for (name, kind, _), column in zip(element.properties, rows.T, strict=True)
        }
        return columns, start + rows.size
    return _alike(element, values, start) or _row_by_row(element, values, start)


def _alike(element: _Element, values: F8, start: int) -> tuple[dict[str, Array], int] | None:
    """As `_columns`, where all lists of a property are of one length; None where they are not."""
    slices, width = [], 0
    for _, _, listed in element.properties:
        if start + width >= len(values):
            return None
        size = int(values[start + width]) if listed else 0
        if size < 0:
            return None
        slices.append((width, size))
        width += 1 + size
    if len(values) < start + element.count * width or not element.count:
        return None
    rows = values[start : start + element.count * width].reshape(element.count, width)
    columns: dict[str, Array] = {}
    for (name, kind, listed), (at, size) in zip(element.properties, slices, strict=True):
        if listed and (rows[:, at] != size).any():
            return None
        columns[name] = _typed(rows[:, at + 1 : at + 1 + size] if listed else rows[:, at], kind)
    return columns, start + rows.size


def _row_by_row(element: _Element, values: F8, start: int) -> tuple[dict[str, Array], int]:
    found: dict[str, list[Array]] = {name: [] for name, _, _ in element.properties}
    for _ in range(element.count):
        for name, _, listed in element.properties:
            size = int(said := _taken(element, values, start, 1)[0]) if listed else 1
            if listed and size != said:
                raise ValueError(f"element {element.name}: a list of {said:g} numbers")
            start += listed
            found[name].append(_taken(element, values, start, size))
            start += size
    columns = {
        name: _objects(found[name], kind)
        if listed
        else _typed(np.concatenate([*found[name], np.zeros(0)]), kind)
        for name, kind, listed in element.properties
    }
    return columns, start


def _taken(element: _Element, values: F8, start: int, count: int) -> F8:
    if count < 0 or len(values) < start + count:
        raise ValueError(f"element {element.name}: {len(values)} numbers are too few for it")
    return values[start : start + count]


def _objects(rows: list[Array], kind: str) -> Array:
    column = np.empty(len(rows), object)
    for index, row in enumerate(rows):
        column[index] = _typed(row, kind)
    return column


def _typed(column: F8, kind: str) -> Array:
    """The values in the type that the header gives, unless they are not whole and it holds whole numbers.
    Raises ValueError for what is beyond the type: a cast would make another number of it."""
    if not kind.startswith("f"):
        limits = np.iinfo(kind)
        if beyond := column[~((column >= limits.min) & (column <= limits.max))].tolist():
            raise ValueError(f"{beyond[0]:g} where its header says {limits.min}..{limits.max}")
    typed: Array = column.astype(kind)
    return typed if kind.startswith("f") or (typed == column).all() else column
