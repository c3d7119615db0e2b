"""What was read last of a data set that does not fit into memory."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import numpy as np
from cachetools import LRUCache

T = TypeVar("T")
GIB = 2**30


class Recent:
    """Keeps what was read last, up to `size` bytes of arrays. Threads may share it."""

    def __init__(self, size: float = GIB):
        self._values: LRUCache[Hashable, Any] = LRUCache(size, bytes_of)
        self._lock = threading.Lock()

    def get(self, key: Hashable, read: Callable[[], T]) -> T:
        """What `read` returns, which is called unless its value is still kept. A value that is larger than
        all that may be kept is not."""
        with self._lock:
            if key in self._values:
                found: T = self._values[key]
                return found
        value = read()  # without the lock: several threads read at a time
        with self._lock:
            if bytes_of(value) <= self._values.maxsize:
                self._values[key] = value
        return value


def bytes_of(value: object) -> int:
    """The bytes of the arrays in an array, a tuple of them, or a dataclass with fields of them."""
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, tuple):
        return sum(map(bytes_of, value))
    if dataclasses.is_dataclass(value):
        return sum(bytes_of(getattr(value, field.name)) for field in dataclasses.fields(value))
    return 0
