"""The measured capability of a 2D model, as data/capability/MODEL.json holds it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from anyscene.arrays import F8
from anyscene.errors import StoreError


def read(folder: Path, model: str, vocabulary: Sequence[str]) -> F8 | None:
    """f8[V] in 0..1: the capability of a 2D model in each class of `vocabulary`, from `folder`, which is
    data/capability; None where it was not measured.

    Raises StoreError where the file is damaged, lacks one of the classes, or holds what is no capability.
    """
    path = folder / f"{model}.json"
    if not path.is_file():
        return None
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        measured = dict(zip(stored["vocabulary"], stored["capability"], strict=True))
        values = np.array([measured[name] for name in vocabulary], np.float64)
        if not ((values >= 0) & (values <= 1)).all():
            raise ValueError("a value is not in 0..1")
        return values
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{path}: not the capability over this vocabulary ({error}); run the stage capability again"
        ) from error
