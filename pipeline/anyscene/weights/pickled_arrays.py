"""Pickles of a dict of NumPy's arrays, as which some networks are published. Only arrays are made; whatever
else a pickle refers to is refused by its name, before anything of it runs."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from anyscene.arrays import Array

# What NumPy makes an array by, from its shape, type and bytes. Both functions are private, and NumPy 2 has
# moved them to another module.
_RECONSTRUCT: Any = np.empty(0).__reduce__()[0]
_FROM_BUFFER: Any = np.empty(0).__reduce_ex__(5)[0]
NAMES: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("collections", "OrderedDict"): OrderedDict,
    **{
        (f"numpy.{core}.{module}", made.__name__): made
        for core in ("core", "_core")
        for module, made in (("multiarray", _RECONSTRUCT), ("numeric", _FROM_BUFFER))
    },
}


class Arrays(pickle.Unpickler):
    """Reads a pickle of arrays. Raises UnpicklingError for any other object."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in NAMES:
            raise pickle.UnpicklingError(f"{module}.{name} is no array")
        return NAMES[module, name]


def read(file: Path) -> dict[str, torch.Tensor]:
    """The tensors of a pickled dict of arrays. Raises what `pickle` raises for a broken file, UnpicklingError
    for one that holds anything else, and TypeError for arrays of what is no number."""
    with file.open("rb") as stream:
        state = Arrays(stream).load()
    if not isinstance(state, dict) or not all(isinstance(value, np.ndarray) for value in state.values()):
        raise TypeError("no dict of arrays")
    return {name: torch.from_numpy(_native(value)) for name, value in state.items()}


def _native(value: Array) -> Array:
    """`value` in this machine's order of bytes, as PyTorch wants it. An array that shares the bytes of
    the pickle is copied, because it cannot be written, which PyTorch warns of."""
    native: Array = value.astype(value.dtype.newbyteorder("="), copy=not value.flags.writeable)
    return native
