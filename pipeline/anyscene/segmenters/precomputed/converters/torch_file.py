"""Files that others' scripts wrote by torch.save: tensors, arrays and plain values, never code."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy._core import multiarray
from torch.serialization import safe_globals

from anyscene.errors import DataError
from anyscene.weights.reading import require_sound

# a pickled array is rebuilt by these; numpy 2 renamed the module of the first two
_MAKERS = [
    (getattr(multiarray, name), f"numpy.{module}.multiarray.{name}")
    for name in ("_reconstruct", "scalar")
    for module in ("core", "_core")
]
_KINDS: list[Any] = [np.ndarray, np.dtype, *{type(np.dtype(code)) for code in "?bBhHiIlLqQefdUO"}]


def load(file: Path, remedy: str = "write it again") -> Any:
    """What `file` holds, on the CPU. Raises DataError with the `remedy` where it is missing, damaged or holds
    anything else."""
    zipped = zipfile.is_zipfile(file)
    try:
        if zipped:
            require_sound(file)
        with safe_globals([*_MAKERS, *_KINDS]):
            return torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise DataError(f"{file}: no such file") from error
    except pickle.UnpicklingError as error:  # its message advises to load without weights_only
        what = "holds more" if zipped else "damaged, or holds more"
        raise DataError(
            f"{file}: {what} than tensors, arrays and plain values; nothing of it ran. Save only those, or "
            f"{remedy}"
        ) from error
    except Exception as error:  # zip and pickle readers raise many kinds for broken files
        why = f" ({error})" if str(error) else ""
        raise DataError(f"{file}: damaged, not readable{why}; {remedy}") from error
