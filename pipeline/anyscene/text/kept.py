"""Embeddings that are kept on disk. To load a text encoder takes seconds, and every stage and command asks
for the same class names again."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import diskcache
import numpy as np

from anyscene.arrays import F4
from anyscene.project import caches
from anyscene.project.digests import UNUSABLE
from anyscene.text import limits

if TYPE_CHECKING:
    from anyscene.text import TextEncoder, Tokens

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


class KeptEncoder:
    """A text encoder that is loaded only for what is not known of it yet.

    It is loaded at once if nothing is known, so that broken weights are refused where they are named."""

    def __init__(self, identity: str, load: Callable[[], TextEncoder], memory: Path) -> None:
        """identity: as of `identity`. load: loads the encoder. memory: the folder in which embeddings are
        kept. Raises what `load` raises."""
        self._identity, self._load = identity, load
        self._memory, self._known = _opened(memory), dict[str, F4]()
        described = self._recall("")
        if described is None:
            described = json.dumps([self._encoder.name, self._encoder.width]).encode()
            self._keep("", described)
        name, width = json.loads(described)
        self.name: str = name
        self.width: int = width

    def encode(self, texts: Sequence[str]) -> F4:
        """f4[K, C]: the embeddings of `texts` in their order, as rows of length 1. Raises TypeError for a
        single string, and TextError as `limits.require_text`. What is left out of a long text is said by a
        CutText warning, also where its embedding was kept."""
        if isinstance(texts, str):
            raise TypeError("encode takes a sequence of texts, not one string")
        for text in texts:
            if text not in self._known:
                limits.require_text(text)
                self._known[text] = self._embedded(text)
        if not texts:
            return np.zeros((0, self.width), np.float32)
        return np.stack([self._known[text] for text in texts])

    def tokens(self, texts: Sequence[str], length: int | None = None) -> Tokens:
        """As of the encoder, which is loaded for them. Raises TextError where it does not offer them."""
        return self._encoder.tokens(texts, length)

    def _embedded(self, text: str) -> F4:
        size, kept = 4 * self.width, self._recall(f"\0{text}")
        if kept is not None and len(kept) >= size:
            known: F4 = np.frombuffer(kept[:size], "<f4").copy()
            if left_out := kept[size:].decode(errors="replace"):
                limits.warn(text, left_out)
            return known
        vector: F4 = self._encoder.encode([text])[0]  # it says what it leaves out
        left_out = limits.beyond(self._encoder, text)
        self._keep(f"\0{text}", vector.astype("<f4").tobytes() + left_out.encode())
        return vector

    @functools.cached_property
    def _encoder(self) -> TextEncoder:
        return self._load()

    def _recall(self, key: str) -> bytes | None:
        if self._memory is None:
            return None
        with suppress(*UNUSABLE):
            found = self._memory.get(self._identity + key)
            return found if isinstance(found, bytes) else None
        return None

    def _keep(self, key: str, value: bytes) -> None:
        if self._memory is not None:
            with suppress(*UNUSABLE):
                self._memory.set(self._identity + key, value)


def _opened(memory: Path) -> diskcache.Cache | None:
    """The memory in a folder; None where it cannot be used. Bytes alone are kept in it, so that nothing that
    others put there is run."""
    try:
        return diskcache.Cache(memory, size_limit=SIZE, disk=_BytesDisk, timeout=10)
    except UNUSABLE:
        return None


class _BytesDisk(diskcache.Disk):  # type: ignore[misc]  # diskcache has no types
    """Bytes as they are. diskcache would unpickle values of other types."""

    def fetch(self, mode: int, filename: str | None, value: object, read: bool) -> object:
        """The value where it is bytes, else None."""
        return bytes(value) if mode == diskcache.core.MODE_RAW and isinstance(value, bytes) else None
