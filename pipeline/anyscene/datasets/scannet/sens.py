"""ScanNet's .sens files: where the colour, the depth and the pose of every frame lie in the stream.

Format 4, as ScanNet's SensReader/README.md and sensorData.h describe it, little-endian and without padding:

    version u4 | name: length u8, bytes | colour intrinsics, extrinsics f4[4,4] | depth intrinsics, extrinsics
    colour codec i4 | depth codec i4 | colour width, height u4 | depth width, height u4 | depth shift f4
    frames u8, then each: camera to world f4[4,4], two times u8, sizes of colour and depth u8, both payloads
    IMU frames u8, then each (not read)

Matrices are row by row. Only the headers of the frames are read here: that is 96 bytes a frame.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from anyscene.arrays import F8, U4
from anyscene.errors import DataError
from anyscene.scene import Part

FORMAT = 4
COLOR_CODECS = {-1: "unknown", 0: "raw", 1: "png", 2: "jpeg"}
DEPTH_CODECS = {-1: "unknown", 0: "raw_ushort", 1: "zlib_ushort", 2: "occi_ushort"}
LONGEST_NAME = 4096  # of the sensor; ScanNet's is 15 letters long
MATRIX = ("<f4", (4, 4))
HEADER = np.dtype(
    [
        ("color_intrinsics", *MATRIX),
        ("color_extrinsics", *MATRIX),
        ("depth_intrinsics", *MATRIX),
        ("depth_extrinsics", *MATRIX),
        ("color_codec", "<i4"),
        ("depth_codec", "<i4"),
        ("color_size", "<u4", (2,)),
        ("depth_size", "<u4", (2,)),
        ("depth_shift", "<f4"),
        ("frames", "<u8"),
    ]
)
FRAME = np.dtype([("pose", *MATRIX), ("times", "<u8", (2,)), ("color_bytes", "<u8"), ("depth_bytes", "<u8")])


@dataclass(frozen=True, eq=False)
class SensIndex:
    """What a .sens file says of its cameras, and where its images lie. Sizes are (width, height)."""

    color_intrinsics: F8  # f8[4,4]
    depth_intrinsics: F8  # f8[4,4]
    color_size: tuple[int, int]
    depth_size: tuple[int, int]
    depth_scale: float  # depth value of one metre
    pose: F8  # f8[n,4,4] camera to world; not finite where tracking was lost
    color: tuple[Part, ...]
    depth: tuple[Part, ...]

    def __len__(self) -> int:
        return len(self.color)


def read_index(path: Path) -> SensIndex:
    """The index of a .sens file. Raises DataError for another version or codec, and where the file ends too
    early."""
    try:
        with path.open("rb", buffering=0) as file:
            length = path.stat().st_size
            header = _header(file, path)
            return _frames(file, path, header, length)
    except FileNotFoundError as error:
        raise DataError(f"{path}: missing; download it, or put extracted frames beside it") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error


def _header(file: BinaryIO, path: Path) -> np.void:
    version, name_length = struct.unpack("<IQ", _read(file, path, 12, "its header"))
    if version != FORMAT:
        raise DataError(
            f"{path}: .sens version {version}, only {FORMAT} is read; download it from the release of "
            "ScanNet v2, or convert it with ScanNet's Converter"
        )
    if name_length > LONGEST_NAME:
        raise DataError(f"{path}: not a .sens file (sensor name of {name_length} bytes); download it again")
    _read(file, path, name_length, "its header")
    header: np.void = np.frombuffer(_read(file, path, HEADER.itemsize, "its header"), HEADER)[0]
    color, depth = int(header["color_codec"]), int(header["depth_codec"])
    if COLOR_CODECS.get(color) not in ("png", "jpeg"):
        raise DataError(
            f"{path}: colour codec {color} ({COLOR_CODECS.get(color, 'unknown')}); write jpeg or png"
        )
    if DEPTH_CODECS.get(depth) != "zlib_ushort":
        raise DataError(
            f"{path}: depth codec {depth} ({DEPTH_CODECS.get(depth, 'unknown')}); write zlib_ushort"
        )
    if not header["depth_shift"] > 0 or not np.isfinite(header["depth_shift"]):
        raise DataError(f"{path}: depth shift {header['depth_shift']:g} must be positive; download it again")
    return header


def _frames(file: BinaryIO, path: Path, header: np.void, length: int) -> SensIndex:
    count, offset = int(header["frames"]), file.tell()
    color_size, depth_size = _size(header["color_size"]), _size(header["depth_size"])
    if count * FRAME.itemsize > length - offset:
        raise _ends_early(path, f"its {count} frames do not fit into {length} bytes")
    records, color, depth = np.zeros(count, FRAME), [], []
    for index in range(count):
        where = f"frame {index} of {count}"
        file.seek(offset)
        records[index] = np.frombuffer(_read(file, path, FRAME.itemsize, where), FRAME)[0]
        color_bytes, depth_bytes = int(records[index]["color_bytes"]), int(records[index]["depth_bytes"])
        offset += FRAME.itemsize
        color.append(Part(path, offset, color_bytes))
        depth.append(Part(path, offset + color_bytes, depth_bytes, zlib_ushort=depth_size))
        offset += color_bytes + depth_bytes
        if offset > length:
            raise _ends_early(path, f"it ends within {where}")
    return SensIndex(
        header["color_intrinsics"].astype(np.float64),
        header["depth_intrinsics"].astype(np.float64),
        color_size,
        depth_size,
        float(header["depth_shift"]),
        records["pose"].astype(np.float64),
        tuple(color),
        tuple(depth),
    )


def _size(pair: U4) -> tuple[int, int]:
    return int(pair[0]), int(pair[1])


def _read(file: BinaryIO, path: Path, size: int, where: str) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise _ends_early(path, f"it ends within {where}")
    return data


def _ends_early(path: Path, what: str) -> DataError:
    return DataError(f"{path}: truncated, {what}; download it again")
