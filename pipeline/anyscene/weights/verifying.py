"""Whether the weights on disk are complete and are what was published."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from safetensors import SafetensorError, safe_open

from anyscene.errors import WeightsError
from anyscene.project import digests
from anyscene.weights import reading
from anyscene.weights.catalogue import ANSWERS, File, PublishedWeights


@dataclass(frozen=True)
class Finding:
    """What is known of one file. It is "unverified" where it can be opened but nobody published what it
    holds."""

    file: Path
    state: Literal["fine", "unverified", "missing", "damaged"]
    said: str


def verify(entry: PublishedWeights, root: Path) -> Iterator[Finding]:
    """The state of each file of `entry` under `root`, the folder `segmenters.weights`."""
    for file in entry.files:
        yield _verify(root / entry.folder / file.name, file, entry)


def _verify(path: Path, file: File, entry: PublishedWeights) -> Finding:
    if not path.is_file():
        return Finding(path, "missing", entry.remedy)
    try:
        content = _open(path, entry)
        known = reading.intact(path, digests.content_hash)  # what was remembered would hide a damaged disk
    except WeightsError as error:
        return Finding(path, "damaged", str(error).removeprefix(f"{path}: "))
    if known:
        by = f"by {entry.sha256_from}" if file.sha256 else f"as noted in {reading.SUMS}"
        return Finding(path, "fine", f"{content}, sha256 {by}")
    if entry.elsewhere:
        return Finding(path, "fine", content)
    return Finding(
        path,
        "unverified",
        f"{content}; no sha256 is known, that of this file is {digests.content_hash(path)}",
    )


def _open(path: Path, entry: PublishedWeights) -> str:
    """Read what is in a file. Raises WeightsError where that fails."""
    if path.suffix == ".safetensors":
        try:
            with safe_open(path, "pt") as tensors:
                return f"{len(tensors.keys())} tensors"
        except (SafetensorError, OSError) as error:
            raise WeightsError(f"{path}: truncated or damaged ({error})") from error
    if path.suffix in (".pth", ".ckpt", ".pt", ".bin", ".pkl"):
        return f"{len(reading.read(path, entry.source))} tensors"
    if path.suffix == ".json":
        try:
            json.loads(path.read_bytes())
        except ValueError as error:
            raise WeightsError(f"{path}: not readable as JSON ({error})") from error
        answers = len(list(path.parent.glob("*.npz"))) if path.name == ANSWERS else None
        return "readable" if answers is None else f"answers for {answers} images"
    return f"{path.stat().st_size:,} bytes"
