"""Content hashes of files, remembered for as long as no file changes: of single files by the process, of
folders on disk."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import diskcache

SETTLED = 2.0  # seconds: a file changed since may change again within one tick of its file system's clock


def sha256(file: Path) -> str:
    """Of the file's content, which is read once in a process unless it changes. Raises OSError."""
    state = file.stat()
    known = _remembered if settled(state.st_mtime, state.st_ctime) else _remembered.__wrapped__
    return known(file.absolute(), state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino)


class Digests(AbstractContextManager["Digests"]):
    """Reading a thousand scans to learn that one is new takes hours, asking for their files' sizes and times
    takes seconds: what was hashed is kept in the folder `memory`, where one is given."""

    def __init__(self, memory: Path | None) -> None:
        # An entry is a hundred bytes a scan: none need ever be given up.
        self._known: Any = {} if memory is None else diskcache.Cache(memory, eviction_policy="none")

    def __call__(self, folder: Path, wanted: Callable[[Path], bool], ours: bool = False) -> str:
        """Of the names and contents of the files in `folder` whose path relative to it is `wanted`.

        ours: this process alone has just written them, so they are remembered at once, and stay so where the
        folder is renamed. Raises OSError where something cannot be read."""
        return self.of_files(folder, [file for file in _files(folder) if wanted(file)], ours)

    def of_files(self, folder: Path, files: Sequence[Path], ours: bool = False) -> str:
        """Of these files, by their path relative to `folder`. Raises OSError where one cannot be read."""
        digest, changed = hashlib.sha256(), 0.0
        listing: list[tuple[str | int, ...]] = []
        for file in files:
            state = (folder / file).stat()
            listing.append((file.as_posix(), state.st_size, state.st_mtime_ns, state.st_ino, state.st_dev))
            changed = max(changed, state.st_mtime, state.st_ctime)
        states = hashlib.sha256(json.dumps(listing).encode()).digest()
        known: str | None = self._known.get(states)
        if known is not None:
            return known
        for file in files:
            digest.update(f"{file.as_posix()}\0{content_hash(folder / file)}\n".encode())
        if ours or settled(changed):
            self._known[states] = digest.hexdigest()
        return digest.hexdigest()

    def __exit__(self, *_: object) -> None:
        if isinstance(self._known, diskcache.Cache):
            self._known.close()


def settled(*changed: float) -> bool:
    """Whether what was changed at these times, in seconds, would show a further change by its time."""
    return max(changed) < time.time() - SETTLED


@functools.cache
def _remembered(file: Path, *state: int) -> str:
    """As long as `state` is the same: gigabytes take seconds, and what is loaded is asked for its key too."""
    return content_hash(file)


def content_hash(file: Path) -> str:
    """sha256 of the file's content, which is read. Raises OSError."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _files(folder: Path) -> list[Path]:
    """Relative to `folder`, sorted; unlike Path.rglob, not silent about what cannot be read."""

    def refuse(error: OSError) -> None:
        raise error

    walked = os.walk(folder, onerror=refuse, followlinks=True)
    return sorted(Path(parent, name).relative_to(folder) for parent, _, names in walked for name in names)
