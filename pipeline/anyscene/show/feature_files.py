"""The features of a scene's points in a file for NumPy or zarr, with the text space that they live in."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from anyscene.arrays import B1, Array, Floats
from anyscene.errors import DataError
from anyscene.project import store

KEY = "features"  # of the group; no stage reads it


def check(out: Path) -> None:
    """Raise DataError where `out` is not a file or group that `write` can make."""
    if out.suffix not in (".npy", store.SUFFIX):
        raise DataError(f"{out}: give a name that ends in .npy or {store.SUFFIX}")
    if out.suffix == store.SUFFIX and out.exists():
        raise DataError(f"{out}: is there already; delete it, or give another --out")
    if out.is_dir():
        raise DataError(f"{out}: is a folder; give the file to write")
    if not out.absolute().parent.is_dir():
        raise DataError(f"{out.parent}: no such folder; make it first")


def write(out: Path, feature: Array, valid: B1, xyz: Floats, about: Mapping[str, Any]) -> None:
    """Write the features f2|f4[N, C], whole or not at all.

    A .npy file holds them alone, and a .json file beside it holds `about`. A .zarr group holds them as
    `feature`, with valid b1[N] and xyz f4|f8[N, 3], and `about` in its attributes. Raises DataError as
    `check` does."""
    check(out)
    partial = out.with_name(f".{out.name}.partial")
    if out.suffix == ".npy":
        with partial.open("wb") as file:
            np.save(file, feature)
        out.with_suffix(".json").write_text(json.dumps(dict(about), indent=2, ensure_ascii=False) + "\n")
    else:
        shutil.rmtree(partial, ignore_errors=True)
        group = store.create(partial, KEY)
        for name, array in (("feature", feature), ("valid", valid), ("xyz", xyz)):
            store.write(group, name, array)
        group.attrs.update(dict(about))
    partial.replace(out)
