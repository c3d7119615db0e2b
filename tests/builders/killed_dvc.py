"""dvc, killed with all that it started while it keeps what a stage wrote.

python -m tests.builders.killed_dvc MOMENT STAGE repro STAGE
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dvc.cli import main
from dvc.dvcfile import Lockfile
from dvc.output import Output
from dvc.stage import Stage

MOMENTS = ("hash", "cache", "lock", "locked")
CACHE = Path(".dvc/cache")


def kill() -> None:
    """End this process and all of its group; it leads one of its own."""
    os.killpg(os.getpid(), signal.SIGKILL)


def before(function: Callable[..., Any], meant: Callable[..., bool]) -> Callable[..., Any]:
    """`function`, before which is killed where its arguments are `meant`."""

    def killed(*arguments: Any, **options: Any) -> Any:
        if meant(*arguments):
            kill()
        return function(*arguments, **options)

    return killed


def after(function: Callable[..., Any], meant: Callable[..., bool]) -> Callable[..., Any]:
    """`function`, after which is killed where its arguments are `meant`."""

    def killed(*arguments: Any, **options: Any) -> Any:
        found = function(*arguments, **options)
        if meant(*arguments):
            kill()
        return found

    return killed


def amid(function: Callable[..., Any], meant: Callable[..., bool]) -> Callable[..., Any]:
    """`function`, in which is killed as soon as there is another file in the cache, or else after it."""

    def killed(*arguments: Any, **options: Any) -> Any:
        if meant(*arguments):
            threading.Thread(target=_when_one_more, args=(_cached(),), daemon=True).start()
        return function(*arguments, **options)

    return after(killed, meant)


def _when_one_more(files: int) -> None:
    while _cached() <= files:
        time.sleep(0.001)
    kill()


def _cached() -> int:
    return sum(len(files) for _, _, files in os.walk(CACHE))


def patch(moment: str, stage: str) -> None:
    """Let dvc be killed at the `moment` of the stage: before its outputs are hashed, while they are copied
    into the cache, before dvc.lock notes them, after it does."""
    match moment:
        case "hash":
            Stage.save = before(Stage.save, lambda of, *_: of.addressing == stage)
        case "cache":
            Output.commit = amid(Output.commit, lambda output, *_: output.stage.addressing == stage)
        case "lock" | "locked":
            wrapped = before if moment == "lock" else after
            Lockfile.dump_stages = wrapped(
                Lockfile.dump_stages, lambda _, stages, *__: stage in [one.addressing for one in stages]
            )


if __name__ == "__main__":
    patch(*sys.argv[1:3])
    sys.exit(main(sys.argv[3:]))
