"""What files of weights begin with: enough to tell one from a page of a web server, a pointer of Git LFS or a
download that was broken off, without reading gigabytes."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from anyscene.errors import WeightsError

SHOWN = 24  # bytes of a file that is none, in messages
LENGTH = 8  # bytes of the number that a safetensors file begins with: how long its header is
LONGEST = 100_000_000  # bytes of that header, as the library safetensors allows
NEWEST = 5  # protocol of pickles
TORCH = (".pt", ".pth", ".ckpt", ".bin", ".pkl")


def require(path: Path, remedy: str) -> None:
    """Raise WeightsError where `path`, a file of weights, or a file of weights in the folder `path`, does not
    begin as files with its ending do, or is shorter than it says. Other files are not looked at.

    remedy: what to do, for the message."""
    for file in [path] if path.is_file() else sorted(path.rglob("*")):
        wrong = None
        if file.suffix == ".safetensors":
            wrong = _safetensors(file)
        elif file.suffix in TORCH and file.is_file():
            wrong = _torch(file)
        if wrong:
            raise WeightsError(f"{file}: {wrong}; {remedy}")


def _safetensors(file: Path) -> str | None:
    """What is wrong with a safetensors file, by the length and the names at its beginning."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        begins = stream.read(LENGTH)
        length = int.from_bytes(begins, "little")
        if len(begins) < LENGTH or length > min(LONGEST, size - LENGTH):
            return f"no safetensors file, it {_begins(file)}"
        try:
            tensors = json.loads(stream.read(length))
            end = max(
                (one["data_offsets"][1] for name, one in tensors.items() if name != "__metadata__"), default=0
            )
        except (ValueError, LookupError, TypeError, AttributeError):
            return f"no safetensors file, it {_begins(file)}"
    if size != (whole := LENGTH + length + end):
        return f"{size:,} bytes, where its header says {whole:,}"
    return None


def _torch(file: Path) -> str | None:
    """What is wrong with a file of PyTorch, by its beginning and by the list of parts at an archive's end."""
    with file.open("rb") as stream:
        begins = stream.read(4)
    if begins[:2] == b"PK":
        return None if zipfile.is_zipfile(file) else "an archive without its end, the download was broken off"
    pickled = len(begins) > 1 and begins[0] == 0x80 and begins[1] <= NEWEST
    return None if pickled else f"no file of PyTorch, it {_begins(file)}"


def _begins(file: Path) -> str:
    with file.open("rb") as stream:
        found = stream.read(SHOWN)
    return f"begins with {found.decode(errors='replace')!r}" if found else "is empty"
