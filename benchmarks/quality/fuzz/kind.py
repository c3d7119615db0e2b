"""A kind of files, and what reads them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

Answer = Mapping[str, object]  # arrays and texts, by name
FOREVER = 1e9  # no coordinate, feature or score of the small worlds here is beyond it


class UnsoundError(Exception):
    """An answer that cannot be one, whatever the files hold."""


@dataclass(frozen=True)
class Kind:
    """write: fills a new folder with whole files; read: what a command that reads them answers, of that
    folder, which is also the current one. It raises a PipelineError where it refuses them.

    damaged: patterns of the files that are damaged. told: damages that must never pass for another answer;
    EVERY where the files say what they should hold."""

    name: str
    write: Callable[[Path], object]
    read: Callable[[Path], Answer]
    damaged: tuple[str, ...] = ("**/*",)
    spared: tuple[str, ...] = ()
    told: frozenset[str] = frozenset()

    @property
    def world(self) -> str:
        """A name that kinds with the same whole files share."""
        name = getattr(self.write, "__qualname__", "<")
        return re.sub(r"\W", "_", self.name if "<" in name else f"{self.write.__module__} {name}")

    def files(self, folder: Path) -> list[Path]:
        """The files that are damaged, relative to `folder`."""
        found = {path for pattern in self.damaged for path in folder.glob(pattern) if path.is_file()}
        found -= {path for pattern in self.spared for path in folder.glob(pattern)}
        return sorted(path.relative_to(folder) for path in found)


def digest(answer: Answer) -> str:
    """A hash of an answer. Raises UnsoundError where a number in it is none, or is beyond all measure."""
    found = hashlib.sha256()
    for name, value in sorted(answer.items()):
        found.update(f"{name}\0".encode())
        if isinstance(value, np.ndarray):
            if value.dtype.kind == "f" and not (np.abs(value.astype(np.float64)) < FOREVER).all():
                raise UnsoundError(f"{name} holds NaN, infinity or {FOREVER:g} and more")
            found.update(f"{value.dtype}{value.shape}".encode() + np.ascontiguousarray(value).tobytes())
        else:
            found.update(repr(value).encode())
    return found.hexdigest()


def by_name(kinds: Iterable[Kind]) -> dict[str, Kind]:
    """The kinds by their names, which differ."""
    found: dict[str, Kind] = {}
    for kind in kinds:
        assert found.setdefault(kind.name, kind) is kind
    return found
