"""Arrays in .npz files that others wrote."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from anyscene.arrays import Array
from anyscene.errors import DataError


def read(file: Path, names: Sequence[str]) -> dict[str, Array]:
    """The arrays `names` of `file`, by name. Raises FileNotFoundError where there is no such file, KeyError
    with the first name that it lacks, and DataError naming the file where it cannot be read."""
    try:
        with file.open("rb") as stream:
            stored = np.load(stream, allow_pickle=False)
            if not isinstance(stored, np.lib.npyio.NpzFile):
                raise ValueError("a single array, not an archive of arrays")
            # a member that is not an array is returned as bytes
            found = {name: stored[name] for name in names if name in stored}
            if other := [name for name, array in found.items() if not isinstance(array, np.ndarray)]:
                raise ValueError(f"{other[0]!r} is not an array")
    except FileNotFoundError:
        raise
    except Exception as error:  # zip and header readers raise many kinds for broken files
        said = str(error) or type(error).__name__
        raise DataError(f"{file}: not readable ({said}); write it again") from error
    for name in names:
        if name not in found:
            raise KeyError(name)
    return found
