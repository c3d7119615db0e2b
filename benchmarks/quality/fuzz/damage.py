"""What happens to files: bits flip, bytes go missing, come twice, change places, numbers become others."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
ODD = tuple(
    b"nan inf -1 0 1e999 -1e30 255 256 32768 65536 2147483648 99999999999999999999999 1.5 x null".split()
) + (b"", b'"', b"[]", b"{}")


@dataclass(frozen=True)
class Damage:
    """What was done to which file."""

    how: str  # a name of DAMAGES
    file: Path  # relative to the folder


def damage(folder: Path, files: Sequence[Path], rng: np.random.Generator) -> Damage:
    """Damage one of `files`, which are relative to `folder`, in one way of DAMAGES."""
    file = files[rng.integers(len(files))]
    how = str(rng.choice(list(DAMAGES)))
    path = folder / file
    if how == "gone":
        path.unlink()
    elif how == "exchanged":
        other = folder / files[rng.integers(len(files))]
        mine, theirs = path.read_bytes(), other.read_bytes()
        path.write_bytes(theirs)
        other.write_bytes(mine)
    else:
        path.write_bytes(DAMAGES[how](path.read_bytes(), rng))
    return Damage(how, file)


def _span(size: int, rng: np.random.Generator) -> tuple[int, int]:
    """A random part of `size` bytes: mostly short, near the beginning as often as anywhere."""
    length = int(min(size, 2 ** rng.uniform(0, 10)))
    start = int(rng.integers(min(size, 512) if rng.random() < 0.5 else size)) if size else 0
    return start, min(size, start + length)


def _flipped(content: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.integers(1, 9) if content else 0):
        start, _ = _span(len(content), rng)
        changed[start] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _overwritten(content: bytes, rng: np.random.Generator) -> bytes:
    start, end = _span(len(content), rng)
    return content[:start] + rng.bytes(end - start) + content[end:]


def _zeroed(content: bytes, rng: np.random.Generator) -> bytes:
    start, end = _span(len(content), rng)
    return content[:start] + bytes(end - start) + content[end:]


def _cut(content: bytes, rng: np.random.Generator) -> bytes:
    return content[: int(rng.integers(len(content)))] if content else content


def _without(content: bytes, rng: np.random.Generator) -> bytes:
    start, end = _span(len(content), rng)
    return content[:start] + content[end:]


def _doubled(content: bytes, rng: np.random.Generator) -> bytes:
    start, end = _span(len(content), rng)
    return content[:end] + content[start:]


def _swapped(content: bytes, rng: np.random.Generator) -> bytes:
    a, b = sorted(int(x) for x in rng.integers(len(content) + 1, size=2))
    length = min(b - a, len(content) - b, int(2 ** rng.uniform(0, 8)))
    return (
        content[:a]
        + content[b : b + length]
        + content[a + length : b]
        + content[a : a + length]
        + (content[b + length :])
    )


def _renumbered(content: bytes, rng: np.random.Generator) -> bytes:
    """With another number, or none, in the place of one; of a binary file the numbers in its text."""
    there = list(NUMBER.finditer(content[:100_000]))
    if not there:
        return _overwritten(content, rng)
    one = there[rng.integers(len(there))]
    return content[: one.start()] + ODD[rng.integers(len(ODD))] + content[one.end() :]


def _appended(content: bytes, rng: np.random.Generator) -> bytes:
    return content + rng.bytes(int(2 ** rng.uniform(0, 10)))


def _noise(content: bytes, rng: np.random.Generator) -> bytes:
    return rng.bytes(int(2 ** rng.uniform(0, 14)))


def _empty(content: bytes, rng: np.random.Generator) -> bytes:
    return b""


def _apart(content: bytes, rng: np.random.Generator) -> bytes:
    raise AssertionError("done with the file, not with its content")


DAMAGES: dict[str, Callable[[bytes, np.random.Generator], bytes]] = {
    "flipped": _flipped,
    "overwritten": _overwritten,
    "zeroed": _zeroed,
    "cut": _cut,
    "without": _without,
    "doubled": _doubled,
    "swapped": _swapped,
    "renumbered": _renumbered,
    "appended": _appended,
    "noise": _noise,
    "empty": _empty,
    "gone": _apart,
    "exchanged": _apart,
}
