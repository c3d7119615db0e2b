"""Reading artefacts. What is damaged raises an error with its path, and never passes for values."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from math import ceil, prod
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.abc.codec import BytesBytesCodec

from anyscene.arrays import Array
from anyscene.errors import StoreError


class Artefact(Mapping[str, "Stored"]):
    """The arrays of the artefact at `path` by name, and its attributes.

    Reading raises StoreError where a file is missing, cut short or altered. zarr alone would read zeros for a
    missing file; every chunk carries a checksum."""

    def __init__(self, path: Path, attributes: Mapping[str, Any]):
        self.path, self.attrs = Path(path), attributes

    def __getitem__(self, name: str) -> Stored:
        if name not in self:
            raise StoreError(f"{self.path}: has no array {name!r}; run the stage that writes it again")
        return Stored(self.path / name)

    def __contains__(self, name: object) -> bool:
        return (self.path / str(name) / "zarr.json").is_file()

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(file.parent.name for file in self.path.glob("*/zarr.json")))

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Stored:
    """One array of an artefact; a slice of it reads from its files."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __init__(self, path: Path):
        self._path = path
        with self._guarded():
            # zarr takes a millisecond to open an array, and a training asks for the lengths of thousands
            about = json.loads((path / "zarr.json").read_text(encoding="utf-8"))
            self.shape, self.dtype = tuple(about["shape"]), np.dtype(about["data_type"])
            files = about["chunk_grid"]["configuration"]["chunk_shape"]
            wanted = prod(ceil(size / file) for size, file in zip(self.shape, files, strict=True))
            found = _files(path / "c")
            if found != wanted:
                raise ValueError(f"{found} of its {wanted} files are there")

    def __getitem__(self, selection: Any) -> Array:
        with self._guarded():
            return np.asarray(self._array[selection])

    @cached_property
    def _array(self) -> zarr.Array[Any]:
        return zarr.open_array(self._path, mode="r", zarr_format=3)

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """The bytes of its values in memory."""
        return self.size * self.dtype.itemsize

    @property
    def codecs(self) -> str:
        """The codecs of its chunks, such as "zstd-3 bitshuffle crc32c"."""
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


def _codec(recorded: Mapping[str, Any]) -> str:
    """A codec as zarr.json records it, in a few words."""
    settings = recorded.get("configuration", {})
    if recorded["name"] == "blosc":
        return f"{settings['cname']}-{settings['clevel']} {settings['shuffle']}"
    return str(recorded["name"])
