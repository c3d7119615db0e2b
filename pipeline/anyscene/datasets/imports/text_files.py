"""Text files of exports. Errors name the file."""

from __future__ import annotations

import re

import numpy as np

from anyscene.arrays import F8
from anyscene.datasets.imports.source_frame import ExportFile
from anyscene.datasets.raw_files import UNREADABLE
from anyscene.errors import DataError

DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+(e[-+]?\d+)?", re.IGNORECASE)


def rows(source: ExportFile) -> list[list[str]]:
    """The words of the lines that are neither empty nor comments (#), parted by blanks or commas. Raises
    DataError naming the file where it is missing or no text, and where numbers have commas for points."""
    try:
        text = source.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, KeyError) as error:
        raise DataError(f"{source}: missing; export it again") from error
    except UNREADABLE as error:
        raise DataError(f"{source}: not readable ({error}); export it again") from error
    lines = [line.split() for line in text.splitlines()]
    lines = [words for words in lines if words and not words[0].startswith("#")]
    for words in lines:
        # Between blanks it is one number, as some languages write it, and would pass for two.
        if len(words) > 1 and (number := next(filter(DECIMAL_COMMA.fullmatch, words), None)):
            raise DataError(f"{source}: {number} has a comma for its point; write points")
    return [" ".join(words).replace(",", " ").split() for words in lines]


def numbers_of(source: ExportFile) -> F8:
    """f8[N]: all numbers of the file, in their order. Raises DataError naming the file."""
    try:
        return np.array([float(word) for words in rows(source) for word in words])
    except ValueError as error:
        raise DataError(f"{source}: not a file of numbers ({error}); export it again") from error


def table(source: ExportFile, columns: int) -> F8:
    """f8[N,columns]: the numbers of the lines, each of which begins with as many. Raises DataError naming the
    file and its first line that does not."""
    found = rows(source)
    try:
        for words in found:
            if len(words) < columns:
                raise ValueError(f"{len(words)} values: {' '.join(words)}")
        return np.array([[float(word) for word in words[:columns]] for words in found]).reshape(-1, columns)
    except ValueError as error:
        raise DataError(f"{source}: a line has not {columns} numbers ({error}); export it again") from error


def intrinsics_of(source: ExportFile) -> F8:
    """f8[3,3]: intrinsics from a file of 4 numbers (fx, fy, cx, cy), or of a 3x3 or 4x4 matrix, row by row.
    Raises DataError naming the file."""
    found = numbers_of(source)
    if len(found) == 4:
        fx, fy, cx, cy = found
        return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    if len(found) in (9, 16):
        side = 3 if len(found) == 9 else 4
        matrix: F8 = found.reshape(side, side)[:3, :3]
        return matrix
    raise DataError(
        f"{source}: {len(found)} numbers; write fx, fy, cx, cy, or a matrix of 3x3, of the colour images"
    )
