"""One training in several processes that torchrun starts. Each computes some places of every batch."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import distributed

from anyscene.errors import TrainingError
from anyscene.project.device import choose_device, limit_memory


@dataclass(frozen=True)
class Processes:
    """This process, number `rank` of `world`, and the device that it computes on."""

    device: torch.device
    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this process is the first, which is the one that writes."""
        return self.rank == 0

    def share(self, places: int) -> range:
        """Which of the `places` of a batch are this process's. Raises TrainingError where they do not divide
        evenly."""
        if places % self.world:
            raise TrainingError(
                f"a batch of {places} scenes does not divide among {self.world} processes: make `batch` a "
                "multiple of their number"
            )
        return range(self.rank, places, self.world)

    def sum(self, values: Sequence[float]) -> list[float]:
        """The sum of each value over the processes."""
        if self.world == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        distributed.all_reduce(total)
        return total.tolist()

    def gather(self, value: Any) -> list[Any]:
        """The value of every process, in the order of their ranks."""
        if self.world == 1:
            return [value]
        found = [None] * self.world
        distributed.all_gather_object(found, value)
        return found

    def wait(self) -> None:
        """Wait until every process has called this."""
        if self.world > 1:
            distributed.barrier()


@contextmanager
def joined(name: str, memory_gib: float = 0.0) -> Iterator[Processes]:
    """Join the processes that torchrun started: over NCCL on GPUs, one for each process, or over gloo on
    CPUs. Without torchrun there is only this process.

    name: as runtime.device. memory_gib: how much of its GPU's memory each process may take; 0: all of it."""
    chosen = choose_device(name)
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        limit_memory(chosen, memory_gib)
        yield Processes(chosen)
        return
    if chosen.type == "cuda":
        chosen = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(chosen)
        limit_memory(chosen, memory_gib)
    distributed.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield Processes(chosen, distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()
