"""Arrays in .npy files. What one says of itself is compared with its size before memory is taken."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy

from anyscene.arrays import Array

HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read(file: Path | BinaryIO) -> Array:
    """The array in an .npy file, at a path or open. Raises OSError where the file cannot be read, and
    ValueError where it is damaged, is cut short, or holds objects."""
    if isinstance(file, Path):
        with file.open("rb") as stream:
            return read(stream)
    shape, order, dtype = _described(file)
    data = bytearray(file.read(dtype.itemsize * math.prod(shape)))  # which numpy may write to
    return np.frombuffer(data, dtype).reshape(shape, order=order)


def mapped(file: Path) -> np.memmap[Any, np.dtype[Any]]:
    """The array in an .npy file, mapped; changes stay in memory. Raises as `read`."""
    with file.open("rb") as stream:
        shape, order, dtype = _described(stream)
        start = stream.tell()
    return np.memmap(file, dtype, "c", start, shape, order)


def _described(stream: BinaryIO) -> tuple[tuple[int, ...], Any, np.dtype[Any]]:
    """(shape, "C" or "F", dtype) of the array that begins at the stream's place."""
    try:
        shape, by_columns, dtype = HEADERS[npy.read_magic(stream)](stream)
    except Exception as error:  # the parsers of its header raise many kinds
        raise ValueError(f"no header of an array: {str(error) or type(error).__name__}") from error
    if dtype.hasobject or not dtype.itemsize or dtype.names is not None:
        raise ValueError(f"holds {dtype}, not numbers")
    if min(shape, default=0) < 0:
        raise ValueError(f"its shape is {shape}")
    start = stream.tell()
    there, wanted = stream.seek(0, io.SEEK_END) - start, dtype.itemsize * math.prod(shape)
    stream.seek(start)
    if there < wanted:
        raise ValueError(f"cut short: {there:,} of its {wanted:,} bytes are there")
    return shape, "F" if by_columns else "C", dtype
