"""Clouds in LAS and LAZ files (ASPRS, LAS 1.4 R15), by laspy."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from anyscene.datasets.geometry.colours import as_bytes
from anyscene.datasets.geometry.geometry import Geometry
from anyscene.errors import DataError

if TYPE_CHECKING:
    from laspy import LasHeader

POINTS = 96  # the place in the header of where points begin; in LAZ with where the table of chunks is
RECORDS, EXTENDED, MINOR = 100, 243, 25  # places of how many records there are, and of the version
SHORTEST = 54  # bytes of a record without content
AT_THE_END = -1  # then that stands in the last bytes of the file
SMALLEST = 20  # bytes of a chunk: its first point is stored as it is, and no point is smaller


def read(path: Path) -> Geometry:
    """The points of the file, in its order and in its coordinates, without those that it marks as withheld,
    which is to say deleted. Colours that are 0 everywhere are none. Raises DataError naming the file."""
    import laspy  # an extra

    unpacking: tuple[type[Exception], ...] = ()
    if path.suffix.lower() == ".laz":
        import lazrs  # an extra by which laspy unpacks

        unpacking = (lazrs.LazrsError,)
    try:
        _require_records(path)
        if unpacking:
            _require_chunks(path)
        with laspy.open(path) as file:
            count = file.header.point_count
            if not unpacking:
                _require_points(path, file.header)
            las = file.read()
        if len(las.points) != count:
            raise ValueError(f"{len(las.points):,} points, and its header counts {count:,}")
    except (OSError, ValueError, EOFError, MemoryError, laspy.errors.LaspyException, *unpacking) as error:
        raise DataError(f"{path}: not a readable LAS file ({error}); export it again") from error
    kept = np.asarray(las.withheld) == 0
    rgb = None
    if {"red", "green", "blue"} <= set(las.point_format.dimension_names):
        values = np.stack([np.asarray(las[name]) for name in ("red", "green", "blue")], 1)[kept]
        rgb = as_bytes(values) if values.any() else None
    return Geometry(np.array(las.xyz, np.float64).reshape(-1, 3)[kept], np.zeros((0, 3), np.int32), rgb)


def _require_points(path: Path, header: LasHeader) -> None:
    """Raise ValueError where a LAS file has not the bytes of as many points as its header counts: fewer, for
    which laspy takes memory nevertheless, or those of more, as a program leaves them that was stopped."""
    count, size, there = header.point_count, header.point_format.size, path.stat().st_size
    if count * size > there:
        raise ValueError(f"it says that it holds {count:,} points, and has {there:,} bytes")
    behind = [header.start_of_waveform_data_packet_record]  # 0: none
    if header.number_of_evlrs:
        behind.append(header.start_of_first_evlr)
    end = min([there, *filter(None, behind)])
    room = (end - header.offset_to_point_data) // size
    if room > count:
        raise ValueError(f"its header counts {count:,} points, and there are bytes of {room:,}")


def _require_records(path: Path) -> None:
    """Raise ValueError where a file says that it holds more records of variable length than it has bytes
    for. laspy reads on beyond the end."""
    size = path.stat().st_size
    with path.open("rb") as file:
        counts = [_number(file, RECORDS, "<I")]
        if _number(file, MINOR, "<B") >= 4:
            counts.append(_number(file, EXTENDED, "<I"))
    if max(counts) * SHORTEST > size:
        raise ValueError(f"it says that it holds {max(counts):,} records, and has {size:,} bytes")


def _require_chunks(path: Path) -> None:
    """Raise ValueError where a LAZ file says that it holds more chunks than it has bytes for. lazrs takes
    memory for as many as it says, and ends the process where there is not enough."""
    size = path.stat().st_size
    with path.open("rb") as file:
        points = _number(file, POINTS, "<I")
        table = _number(file, points, "<q")
        if table == AT_THE_END:
            table = _number(file, size - 8, "<q")
        chunks = _number(file, table + 4, "<I")  # after the version of the table
    if chunks * SMALLEST > size:
        raise ValueError(f"it says that it holds {chunks:,} chunks of points, and has {size:,} bytes")


def _number(file: BinaryIO, place: int, form: str) -> int:
    """The number at a place of a file. Raises ValueError where the file does not reach so far."""
    if place < 0:
        raise ValueError(f"it points to its byte {place}")
    file.seek(place)
    data = file.read(struct.calcsize(form))
    if len(data) < struct.calcsize(form):
        raise ValueError(f"cut short before its byte {place + struct.calcsize(form):,}")
    return int(struct.unpack(form, data)[0])
