"""Embeddings that are kept on disk. To load a text encoder takes seconds, and every stage and command asks
for the same class names again."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import diskcache
import numpy as np

from anyscene.arrays import F4
from anyscene.project import caches
from anyscene.project.digests import UNUSABLE
from anyscene.text.remembering import Remembering

if TYPE_CHECKING:
    from anyscene.text import Tokens

SIZE = 1 << 26  # bytes on disk, about 20,000 texts; the oldest go first
PACKAGES = ("torch", "transformers", "tokenizers", "open_clip_torch", "numpy")  # their numbers enter


def folder() -> Path:
    """Where embeddings are kept, for all projects of a user. It may be deleted at any time."""
    return caches.folder(caches.home("XDG_CACHE_HOME", ".cache") / "anyscene" / "texts")


def identity(encoder: str, weights: Sequence[Path]) -> str:
    """What the embeddings of an encoder depend on: its name, the state of its files and of this room's code,
    and the versions of packages. Raises OSError where a file is missing."""
    states: list[object] = [encoder]
    for file in (*sorted(weights), *sorted(Path(__file__).parent.glob("*.py"))):
        state = file.resolve().stat()
        states.append(
            (str(file.resolve()), state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino)
        )
    for package in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            states.append((package, metadata.version(package)))
    return hashlib.sha256(json.dumps(states).encode()).hexdigest()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Within this context torch computes with one thread: with two, products have other last bits."""
    import torch  # only here: what is kept needs none

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class KeptEncoder(Remembering):
    """A text encoder that is loaded only for what is not known of it yet.

    It is loaded at once if nothing is known, so that broken weights are refused where they are named."""

    def __init__(self, identity: str, load: Callable[[], Remembering], memory: Path) -> None:
        """identity: as of `identity`. load: loads the encoder. memory: the folder in which embeddings are
        kept. Raises what `load` raises."""
        super().__init__()
        self._load, self._memory = load, _Memory(memory, identity)
        self._left_out: dict[str, str] = {}
        described = self._memory.get("")
        if described is None:
            described = json.dumps([self._encoder.name, self._encoder.width]).encode()
            self._memory.set("", described)
        name, width = json.loads(described)
        self.name: str = name
        self.width: int = width

    def embed(self, text: str) -> F4:
        """As of the encoder, to the bit; it is loaded for a text that is not kept."""
        size, kept = 4 * self.width, self._memory.get(f"\0{text}")
        if kept is not None and len(kept) >= size:
            self._left_out[text] = kept[size:].decode(errors="replace")
            return np.frombuffer(kept[:size], "<f4").copy()
        with _one_thread():  # whichever process asks first, others get its bits
            vector = self._encoder.embed(text)
        left_out = self._encoder.beyond(text)
        self._memory.set(f"\0{text}", vector.astype("<f4").tobytes() + left_out.encode())
        self._left_out[text] = left_out
        return vector

    def beyond(self, text: str) -> str:
        """As of the encoder; it is loaded for a text that is not kept."""
        if text not in self._left_out:
            self.embed(text)
        return self._left_out[text]

    def tokens(self, texts: Sequence[str], length: int | None = None) -> Tokens:
        """As of the encoder, which is loaded for them. Raises TextError where it does not offer them."""
        return self._encoder.tokens(texts, length)

    @functools.cached_property
    def _encoder(self) -> Remembering:
        return self._load()


class _Memory:
    """Bytes in a folder, under the name of what they were made by. Where the folder cannot be used, nothing
    is kept."""

    def __init__(self, folder: Path, owner: str) -> None:
        self._owner, self._cache = owner, None
        # Bytes alone are kept, so that nothing that others put there is run.
        with suppress(*UNUSABLE):
            self._cache = diskcache.Cache(folder, size_limit=SIZE, disk=_BytesDisk, timeout=10)

    def get(self, key: str) -> bytes | None:
        if self._cache is not None:
            with suppress(*UNUSABLE):
                found = self._cache.get(self._owner + key)
                return found if isinstance(found, bytes) else None
        return None

    def set(self, key: str, value: bytes) -> None:
        if self._cache is not None:
            with suppress(*UNUSABLE):
                self._cache.set(self._owner + key, value)


class _BytesDisk(diskcache.Disk):  # type: ignore[misc]  # diskcache has no types
    """Bytes as they are. diskcache would unpickle values of other types."""

    def fetch(self, mode: int, filename: str | None, value: object, read: bool) -> object:
        """The value where it is bytes, else None."""
        return bytes(value) if mode == diskcache.core.MODE_RAW and isinstance(value, bytes) else None
