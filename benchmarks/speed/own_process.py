"""Functions that run in processes of their own, so that their memory can be measured, and peaks of memory."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import torch


def alone(function: Callable, *arguments: object) -> object:
    """function(*arguments) in a new process, with as many threads as this one has. Raises RuntimeError if
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
    """The GiB of memory that `process` (default: this one) held at its peak; 0 if it has ended. It is not
    `ru_maxrss`, because in a new process that begins with the value of its parent (Linux: getrusage(2), kept
    over execve)."""
    status = Path(f"/proc/{process or os.getpid()}/status").read_text()
    for line in status.splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 2**20
    return 0.0


def _run(sender: Connection, threads: int, function: Callable, arguments: tuple) -> None:
    torch.set_num_threads(threads)
    sender.send(function(*arguments))
