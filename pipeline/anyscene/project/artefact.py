"""Reading artefacts. What is damaged raises an error with its path, and never passes for values."""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from math import ceil, prod
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numcodecs import BitRound
from zarr.abc.codec import BytesBytesCodec

from anyscene.arrays import F2, F4, I8, Array, Floats
from anyscene.errors import StoreError
from anyscene.project.caption_counts import joined
from anyscene.project.principal_axes import formed

FEATURE = "feature"  # of points: an array, or formed of the next ones
DISTINCT, CAPTION, TIMES, EMBEDDING = "distinct", "caption", "times", "embedding"
PLACE, AXES = "_place", "_axes"  # ends of the names of the two arrays that features are formed of
COVERED = 1 << 14  # points whose counts are read at a time
FORMED = 1 << 12  # features that are formed at a time, so that a cache holds them
FEATURE_BITS = 6  # of the mantissa of features: their cosine is >= 0.99999, and a third of the bytes is saved


class Artefact(Mapping[str, "Stored"]):
    """The arrays of the artefact at `path` by name, and its attributes. Features that are stored as counts
    of captions, or as places along axes, are formed when they are read.

    Reading raises StoreError where a file is missing, cut short or altered. zarr alone would read zeros for a
    missing file; every chunk carries a checksum."""

    def __init__(self, path: Path, attributes: Mapping[str, Any]):
        self.path, self.attrs = Path(path), attributes

    def __getitem__(self, name: str) -> Stored:
        if name not in self:
            raise StoreError(f"{self.path}: has no array {name!r}; run the stage that writes it again")
        if self._stores(name):
            return InFiles(self.path / name)
        return OfAxes(self.path, name) if self._stores(f"{name}{PLACE}") else OfCaptions(self.path)

    def __contains__(self, name: object) -> bool:
        of_captions = name == FEATURE and self._stores(CAPTION)
        return self._stores(name) or of_captions or self._stores(f"{name}{PLACE}")

    def __iter__(self) -> Iterator[str]:
        stored = {file.parent.name for file in self.path.glob("*/zarr.json")}
        of_axes = {name.removesuffix(PLACE) for name in stored if name.endswith(PLACE)}
        return iter(sorted(stored | of_axes | ({FEATURE} if CAPTION in stored else set())))

    def _stores(self, name: object) -> bool:
        return (self.path / str(name) / "zarr.json").is_file()

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Stored(ABC):
    """One array of an artefact; a slice of it reads from its files."""

    @abstractmethod
    def __getitem__(self, selection: Any) -> Array: ...

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]: ...

    @property
    @abstractmethod
    def dtype(self) -> np.dtype[Any]: ...

    @property
    @abstractmethod
    def codecs(self) -> str:
        """The codecs of its chunks, such as "zstd-3 bitshuffle crc32c"."""

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """The bytes of its values in memory."""
        return self.size * self.dtype.itemsize


class InFiles(Stored):
    """An array that is stored as it is."""

    def __init__(self, path: Path):
        self._path = path
        with self._guarded():
            # zarr takes a millisecond to open an array, and a training asks for the lengths of thousands
            about = json.loads((path / "zarr.json").read_text(encoding="utf-8"))
            self._shape: tuple[int, ...] = tuple(about["shape"])
            self._dtype: np.dtype[Any] = np.dtype(about["data_type"])
            files = about["chunk_grid"]["configuration"]["chunk_shape"]
            wanted = prod(ceil(size / file) for size, file in zip(self._shape, files, strict=True))
            found = _files(path) - 1  # beside zarr.json
            if found != wanted:
                raise ValueError(f"{found} of its {wanted} files are there")

    def __getitem__(self, selection: Any) -> Array:
        with self._guarded():
            return np.asarray(self._array[selection])

    @cached_property
    def _array(self) -> zarr.Array[Any]:
        return zarr.open_array(self._path, mode="r", zarr_format=3)

    @property
    def shape(self) -> tuple[int, ...]:
        return self._shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._dtype

    @property
    def codecs(self) -> str:
        with self._guarded():
            codecs = self._array.compressors
        return " ".join(_codec(codec.to_dict()) for codec in codecs if isinstance(codec, BytesBytesCodec))

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except (ValueError, RuntimeError, KeyError, TypeError, OSError) as error:
            artefact = self._path.parent
            raise StoreError(
                f"{artefact}: damaged, {self._path.name} cannot be read ({error}); remove {artefact} and run "
                "its stage again (`dvc repro`)"
            ) from error


def _files(folder: Path) -> int:
    """How many files with content lie in `folder`, at any depth."""
    if not folder.is_dir():
        return 0
    found = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            found += _files(Path(entry.path)) if entry.is_dir() else entry.stat().st_size > 0
    return found


class OfAxes(Stored):
    """Features f2[N, C] that are formed of places along axes. They are read as an array of an artefact is.

    A feature has the same bits whichever others are read with it: all FORMED rows are formed of which it is
    one."""

    def __init__(self, path: Path, name: str):
        """path: of the artefact, in which `store.features` wrote the features `name`."""
        self._place, self._axes = InFiles(path / f"{name}{PLACE}"), InFiles(path / f"{name}{AXES}")

    def __getitem__(self, selection: Any) -> F2:
        return _selected(self, selection, FORMED, self._part)

    @property
    def shape(self) -> tuple[int, ...]:
        return self._place.shape[0], self._axes.shape[1]

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.float16)

    @property
    def codecs(self) -> str:
        return "formed of places along axes"

    @cached_property
    def _rows(self) -> F4:
        return self._axes[:]

    def _part(self, start: int, stop: int) -> F2:
        return formed(self._place[start:stop], self._rows).astype(np.float16)


class OfCaptions(Stored):
    """The features f2[N, C] of the points of a mask model, which are formed of its counts of captions. They
    are read as an array of an artefact is."""

    def __init__(self, path: Path):
        """path: of the artefact, whose arrays DISTINCT, CAPTION, TIMES and EMBEDDING `store.write_counts`
        wrote."""
        self._path = path
        self._distinct, self._caption, self._times, self._embedding = (
            InFiles(path / name) for name in (DISTINCT, CAPTION, TIMES, EMBEDDING)
        )

    def __getitem__(self, selection: Any) -> F2:
        return _selected(self, selection, COVERED, self._part)

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self._distinct.shape, self._embedding.shape[1])

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.float16)

    @property
    def codecs(self) -> str:
        return "formed of counts of captions"

    @cached_property
    def _start(self) -> I8:
        """i8[N + 1]: where the captions of each point begin."""
        return np.concatenate([[0], np.cumsum(self._distinct[:], dtype=np.int64)])

    @cached_property
    def _table(self) -> F4:
        return self._embedding[:]

    def _part(self, start: int, stop: int) -> F2:
        some = slice(int(self._start[start]), int(self._start[stop]))
        distinct = np.diff(self._start[start : stop + 1])
        try:
            counts = joined(distinct, self._caption[some], self._times[some], self._table)
        except ValueError as error:
            raise StoreError(
                f"{self._path}: damaged, its counts of captions do not fit ({error}); remove "
                f"{self._path} and run its stage again (`dvc repro`)"
            ) from error
        feature = np.empty((stop - start, self.shape[1]), np.float16)
        for low in range(0, len(feature), FORMED):
            mean, _ = counts.means(low, low + FORMED)
            feature[low : low + FORMED] = rounded(mean.astype(np.float16), FEATURE_BITS)
        return feature


def _selected(array: Stored, selection: Any, rows: int, part: Callable[[int, int], F2]) -> F2:
    """array[selection], as NumPy has it, of features [N, C] that are formed `rows` at a time, beginning at
    multiples of that. part: forms those from a row to before another one."""
    first, *rest = (selection or (...,)) if isinstance(selection, tuple) else (selection,)
    points = np.arange(array.shape[0])[first]
    wanted = np.atleast_1d(points)
    found: Array = np.empty((len(wanted), array.shape[1]), array.dtype)
    block = wanted // rows
    for number in np.unique(block):
        low, here = int(number) * rows, np.flatnonzero(block == number)
        found[here] = part(low, min(low + rows, array.shape[0]))[wanted[here] - low]
    found = found if np.ndim(points) else found[0]
    return found[(..., *[slice(None)] * np.ndim(points), *rest)] if rest else found


def rounded(array: Floats, keep_bits: int) -> Array:
    """Round f2 values to the nearest with `keep_bits` bits of mantissa, ties to even."""
    codec = BitRound(keep_bits)
    kept: Array = codec.decode(codec.encode(np.ascontiguousarray(array)))
    return kept


def _codec(recorded: Mapping[str, Any]) -> str:
    """A codec as zarr.json records it, in a few words."""
    settings = recorded.get("configuration", {})
    if recorded["name"] == "blosc":
        return f"{settings['cname']}-{settings['clevel']} {settings['shuffle']}"
    return str(recorded["name"])
