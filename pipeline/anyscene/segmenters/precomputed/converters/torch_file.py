"""Files that others' scripts wrote by torch.save: tensors, arrays and plain values, never code."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy._core import multiarray
from torch.serialization import safe_globals

from anyscene.errors import DataError

# a pickled array is rebuilt by these; numpy 2 renamed the module of the first two
_MAKERS = [
    (getattr(multiarray, name), f"numpy.{module}.multiarray.{name}")
    for name in ("_reconstruct", "scalar")
    for module in ("core", "_core")
]
_KINDS: list[Any] = [np.ndarray, np.dtype, *{type(np.dtype(code)) for code in "?bBhHiIlLqQefdUO"}]


def load(file: Path) -> Any:
    """What `file` holds, on the CPU. Raises DataError where it is missing, damaged or holds anything else."""
    try:
        with safe_globals([*_MAKERS, *_KINDS]):
            return torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise DataError(f"{file}: no such file") from error
    except pickle.UnpicklingError as error:  # its message advises to load without weights_only
        raise DataError(
            f"{file}: holds more than tensors, arrays and plain values; nothing of it ran. Save only those"
        ) from error
    except Exception as error:  # zip and pickle readers raise many kinds for broken files
        raise DataError(f"{file}: not readable ({error}); write it again") from error
