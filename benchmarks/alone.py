"""Functions in processes of their own, so that their memory is theirs alone."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection

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


def _run(sender: Connection, threads: int, function: Callable, arguments: tuple) -> None:
    torch.set_num_threads(threads)
    sender.send(function(*arguments))
