"""Where tensors are computed, in which precision, and with how much of a GPU's memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, Self, TypeVar

import torch

from anyscene.arrays import Array
from anyscene.errors import ConfigError, DeviceMemoryError
from anyscene.project.parameters import Precision

Found = TypeVar("Found")


class Sliced(Protocol):
    """A list, a tuple, a range, an array: anything that has a length and can be sliced."""

    def __len__(self) -> int: ...

    def __getitem__(self, some: slice, /) -> Self: ...


Items = TypeVar("Items", bound=Sliced)


def choose_device(name: str, memory_gib: float = 0.0) -> torch.device:
    """The device that `runtime.device` names; "auto" is the first GPU, or the CPU where there is none.

    memory_gib: the memory of a GPU that this process may use from now on, in GiB; 0 = all of it. Raises
    ConfigError where torch does not know the name, or this machine does not have that GPU.
    """
    if name == "auto":
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    else:
        try:
            device = torch.device(name)
        except RuntimeError as error:
            raise ConfigError(
                f"runtime.device: {name!r} is not a device; use auto, cpu, cuda or cuda:1"
            ) from error
        if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
            raise ConfigError(
                f"runtime.device: {name!r}, but torch finds {torch.cuda.device_count()} GPUs here; set it "
                "to auto"
            )
    limit_memory(device, memory_gib)
    return device


def limit_memory(device: torch.device, gib: float) -> None:
    """Limit the memory of a GPU that this process may use to `gib` GiB; 0 = all of it."""
    if device.type == "cuda" and gib:
        whole = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, gib * 2**30 / whole), device)


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """A context in which products are computed in `precision`. Sums of many terms and weights stay in single
    precision. With float32 it changes nothing."""
    return torch.autocast(device.type, getattr(torch, precision), enabled=precision != "float32")


def passes(images: Array, device: torch.device) -> Iterator[Array]:
    """The images [B, ...] in the batches that a network is given: all at once on a GPU, which one small frame
    does not fill; one by one on a CPU, where that is as fast and no batch changes the last bits."""
    step = 1 if device.type == "cpu" else max(1, len(images))
    return (images[start : start + step] for start in range(0, len(images), step))


@contextmanager
def enough_memory(what: str) -> Iterator[None]:
    """Raise DeviceMemoryError that begins with `what` where the memory of a GPU does not suffice."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise _memory_error(error, what) from error


def _memory_error(error: torch.OutOfMemoryError, what: str, amount: str = "") -> DeviceMemoryError:
    return DeviceMemoryError(
        f"{what}: the GPU's memory does not suffice{amount} ({str(error).partition('. ')[0]}); raise "
        "runtime.device_memory_gib (0 is all there is), end other programs on it, or set runtime.device: cpu"
    )


class Batches:
    """Batches that fit into the memory of a GPU. They have `size` items; where that is too much, batches are
    half as large from there on.

    They are for work whose result does not depend on the batch.
    """

    def __init__(self, size: int, parameter: str) -> None:
        """parameter: the key of `size` in params.yaml, for the error message."""
        self.size, self._parameter = size, parameter

    def __call__(self, work: Callable[[Items], Found], items: Items) -> Iterator[Found]:
        """Yield work(batch) for successive batches of `items`. Raises DeviceMemoryError where the memory does
        not suffice for a single item."""
        start = 0
        while start < len(items):
            some = items[start : start + self.size]
            try:
                found = work(some)
            except torch.OutOfMemoryError as error:
                if len(some) == 1:
                    raise _memory_error(error, self._parameter, " for one at a time") from error
                self.size = len(some) // 2
            else:
                yield found
                start += len(some)
                del found  # it must not take memory beside the next batch
                continue
            torch.cuda.empty_cache()  # only here the error no longer refers to what was computed
