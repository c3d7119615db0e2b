"""Functions in processes of their own, so that their memory is theirs alone, and what a process held."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import torch


def alone(function: Callable, *arguments: object) -> object:
    """function(*arguments) in a new process, with as many threads as this one has. Raises RuntimeError where
    it fails."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(sender, torch.get_num_threads(), function, arguments))
    process.start()
    sender.close()
    try:
        result = receiver.recv()
    except EOFError:
        raise RuntimeError(f"{function.__name__}{arguments} failed; its message is above") from None
    finally:
        process.join()
    return result


def peak(process: int | None = None) -> float:
    """GiB of memory that `process` (default: this one) held at its peak. Not `ru_maxrss`, which in a new
    process begins at what the one held that started it (Linux: getrusage(2), kept over execve). 0 of
    a process that has ended."""
    status = Path(f"/proc/{process or os.getpid()}/status").read_text()
    for line in status.splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 2**20
    return 0.0


def _run(sender: Connection, threads: int, function: Callable, arguments: tuple) -> None:
    torch.set_num_threads(threads)
    sender.send(function(*arguments))
