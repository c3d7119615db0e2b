"""Reading artefacts. What is damaged raises an error with its path, and never passes for values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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

    def __init__(self, path: Path):
        self._path = path
        with self._guarded():
            self._array = zarr.open_array(path, mode="r", zarr_format=3)
            files = self._array.shards or self._array.chunks
            wanted = prod(ceil(size / file) for size, file in zip(self.shape, files, strict=True))
            found = sum(file.is_file() and file.stat().st_size > 0 for file in path.glob("c/**/*"))
            if found != wanted:
                raise ValueError(f"{found} of its {wanted} files are there")

    def __getitem__(self, selection: Any) -> Array:
        with self._guarded():
            return np.asarray(self._array[selection])

    @property
    def shape(self) -> tuple[int, ...]:
        return self._array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._array.dtype

    @property
    def size(self) -> int:
        return self._array.size

    @property
    def nbytes(self) -> int:
        """The bytes of its values in memory."""
        return self._array.nbytes

    @property
    def codecs(self) -> str:
        """The codecs of its chunks, such as "zstd-3 bitshuffle crc32c"."""
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


def _codec(recorded: Mapping[str, Any]) -> str:
    """A codec as zarr.json records it, in a few words."""
    settings = recorded.get("configuration", {})
    if recorded["name"] == "blosc":
        return f"{settings['cname']}-{settings['clevel']} {settings['shuffle']}"
    return str(recorded["name"])
