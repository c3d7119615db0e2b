"""precomputed.json: what the answers of a 2D model that ran elsewhere are.

It is read without importing torch, since every `dvc repro` asks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from anyscene.errors import DataError
from anyscene.segmenters.precomputed.answer import FORMAT
from anyscene.weights.catalogue import ANSWERS


def read(folder: Path) -> dict[str, Any]:
    """The content of the description in `folder`. Raises DataError where it is missing or wrong."""
    file = folder / ANSWERS
    try:
        description: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: not readable ({error}); `anyscene convert` writes it") from error
    fine = isinstance(description, dict) and description.get("format") == FORMAT
    if not fine or description.get("kind") not in ("masks", "features"):
        raise DataError(f'{file}: wanted "format": {FORMAT} and "kind": "masks" or "features"')
    labels = description.get("labels")
    if description["kind"] == "masks" and not (
        isinstance(labels, list) and labels and all(isinstance(label, str) and label for label in labels)
    ):
        raise DataError(f'{file}: wanted "labels": the names that masks are labelled with')
    if not isinstance(description.get("captions", False), bool):
        raise DataError(f'{file}: wanted "captions": true where masks carry captions, or false')
    return description


def are_masks(folder: Path) -> bool:
    """Whether the answers in `folder` are masks. Raises DataError as `read`."""
    return bool(read(folder)["kind"] == "masks")


def wants_captioner(folder: Path) -> bool:
    """Whether the answers in `folder` are masks without captions of their own. Raises DataError as `read`."""
    description = read(folder)
    return description["kind"] == "masks" and not description.get("captions")
