"""Content hashes of files, which are remembered on disk until a file changes."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import diskcache

from anyscene.project import caches, layout

_State = tuple[str, int, int, int, int]  # of a file: name, size, time of its last change in ns, inode, device

UNUSABLE = (OSError, sqlite3.Error, diskcache.Timeout)  # a full disk, a folder that nobody may write
SETTLED = 2.0  # seconds; a younger file may change again within one tick of its file system's clock


def sha256(file: Path) -> str:
    """The sha256 of `file`, in hexadecimal. A project reads the file once unless it changes; outside of one
    every process does. Raises OSError."""
    state = file.stat()
    known = _remembered if settled(state.st_mtime, state.st_ctime) else _remembered.__wrapped__
    return known(file.absolute(), state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino)


class Digests(AbstractContextManager["Digests"]):
    """Hashes of folders, kept on disk with the sizes and times of the files.

    To read a thousand scans only to learn that one is new takes hours; to look at the sizes and times of
    their files takes seconds."""

    def __init__(self, memory: Path | None) -> None:
        """memory: the folder in which hashes are kept, as `caches.folder`. Where it is None or cannot be
        used, this object alone keeps them."""
        self._known: dict[Any, str] = {}
        self._kept: diskcache.Cache | None = None
        if memory is not None:
            with suppress(*UNUSABLE):
                # An entry takes a hundred bytes for each scan, so none needs to be evicted.
                self._kept = diskcache.Cache(caches.folder(memory), eviction_policy="none")

    def __call__(
        self, folder: Path, wanted: Callable[[Path], bool], ours: bool = False, growing: bool = False
    ) -> str:
        """The hash of the names and contents of the files in `folder` whose path relative to it is `wanted`.

        ours: this process has just written the files and no other writes them, so their hash is remembered at
        once. It stays valid when the folder is renamed. growing: whether files are added to the folder again
        and again; then those that are new are read and no others. Raises OSError where a file cannot be
        read."""
        return self.of_files(folder, [file for file in _files(folder) if wanted(file)], ours, growing)

    def of_files(self, folder: Path, files: Sequence[Path], ours: bool = False, growing: bool = False) -> str:
        """The hash of the names and contents of `files`, which are relative to `folder`. `ours` and `growing`
        as above. Raises OSError where one cannot be read."""
        changed: list[float] = []
        listing: list[_State] = []
        for file in files:
            state = (folder / file).stat()
            listing.append((file.as_posix(), state.st_size, state.st_mtime_ns, state.st_ino, state.st_dev))
            changed.append(max(state.st_mtime, state.st_ctime))
        states = hashlib.sha256(json.dumps(listing).encode()).digest()
        known = self._recall(states)
        if known is not None:
            return known
        contents = self._new_ones(folder, listing, changed) if growing else _read(folder, listing)
        digest = hashlib.sha256()
        for (name, *_), content in zip(listing, contents, strict=True):
            digest.update(f"{name}\0{content}\n".encode())
        if ours or settled(*changed):
            self._keep(states, digest.hexdigest())
        return digest.hexdigest()

    def _new_ones(self, folder: Path, listing: Sequence[_State], changed: Sequence[float]) -> list[str]:
        """The hash of each file in `listing`, of which those are read that are new since the last time. One
        entry remembers the whole folder, since a hundred thousand entries cost as much as the files."""
        key = f"files of {folder.absolute()}"
        known = {tuple(state): content for state, content in json.loads(self._recall(key) or "[]")}
        contents = [known.get(state) or content_hash(folder / state[0]) for state in listing]
        every = zip(listing, contents, changed, strict=True)
        # as text, of which nothing is run when it is read
        self._keep(key, json.dumps([(state, content) for state, content, last in every if settled(last)]))
        return contents

    def of_file(self, file: Path) -> str:
        """The sha256 of the content of `file`. Raises OSError."""
        state = file.stat()
        stamp = state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino, state.st_dev
        key = f"file {stamp}"
        known = self._recall(key)
        if known is None:
            known = content_hash(file)
            if settled(state.st_mtime, state.st_ctime):
                self._keep(key, known)
        return known

    def __exit__(self, *_: object) -> None:
        if self._kept is not None:
            self._kept.close()

    def _recall(self, key: bytes | str) -> str | None:
        if self._kept is not None:
            with suppress(*UNUSABLE):
                found = self._kept.get(key)
                return found if isinstance(found, str) else None
        return self._known.get(key)

    def _keep(self, key: bytes | str, value: str) -> None:
        if self._kept is None:
            self._known[key] = value
            return
        with suppress(*UNUSABLE):
            self._kept[key] = value


def settled(*changed: float) -> bool:
    """Whether a file that was last changed at these times (seconds since the epoch) would get another time by
    a further change."""
    return max(changed, default=0.0) < time.time() - SETTLED


@functools.cache
def _remembered(file: Path, *state: int) -> str:
    """The sha256 of `file` in this `state`. To hash gigabytes takes seconds, and the same file is asked for
    whenever it is loaded."""
    with Digests(layout.DIGESTS if layout.DIGESTS.is_dir() else None) as digests:
        return digests.of_file(file)


def _read(folder: Path, listing: Iterable[_State]) -> list[str]:
    return [content_hash(folder / name) for name, *_ in listing]


def content_hash(file: Path) -> str:
    """Read `file`, and return its sha256 in hexadecimal. Raises OSError."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _files(folder: Path) -> list[Path]:
    """All files below `folder`, relative to it, sorted. Unlike Path.rglob it raises OSError for a folder that
    cannot be read."""

    def refuse(error: OSError) -> None:
        raise error

    walked = os.walk(folder, onerror=refuse, followlinks=True)
    return sorted(Path(parent, name).relative_to(folder) for parent, _, names in walked for name in names)
