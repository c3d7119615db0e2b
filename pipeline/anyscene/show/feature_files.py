"""The features of a scene's points in a file for NumPy or zarr, with the text space that they live in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from anyscene.arrays import B1, Array, Floats
from anyscene.errors import OutputError
from anyscene.project import outputs, store

KEY = "features"  # of the group; no stage reads it


def check(out: Path) -> None:
    """Raise OutputError where `out` is not a file or group that `write` can make."""
    if out.suffix == store.SUFFIX and out.exists():
        raise OutputError(f"{out}: is there already; delete it, or give another --out")
    outputs.check(out, ".npy", store.SUFFIX)


def write(out: Path, feature: Array, valid: B1, xyz: Floats, about: Mapping[str, Any]) -> None:
    """Write the features f2|f4[N, C], whole or not at all.

    A .npy file holds them alone, and a .json file beside it holds `about`. A .zarr group holds them as
    `feature`, with valid b1[N] and xyz f4|f8[N, 3], and `about` in its attributes. Raises OutputError as
    `check` does, and where the disk is full."""
    check(out)
    with outputs.replaced(out) as partial:
        if out.suffix == store.SUFFIX:
            group = store.create(partial, KEY)
            for name, array in (("feature", feature), ("valid", valid), ("xyz", xyz)):
                store.write(group, name, array)
            group.attrs.update(dict(about))
            return
        with partial.open("wb") as partial_file:
            np.save(partial_file, feature)
        outputs.write(out.with_suffix(".json"), json.dumps(dict(about), indent=2, ensure_ascii=False) + "\n")
