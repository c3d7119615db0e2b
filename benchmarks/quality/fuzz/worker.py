"""Cases in a process of their own, which may hang, take memory, or die."""

from __future__ import annotations

import logging
import multiprocessing
import os
import resource
import time
import warnings
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.quality.fuzz.case import Outcome, run
from benchmarks.quality.fuzz.kinds import KINDS

SECONDS = 60.0  # of computing, because others may work on the machine
FIRST = 300.0  # the same for a case that writes the whole files first, and compiles
ASLEEP = 900.0  # seconds by the clock
MEMORY = 4 << 30  # bytes


class Worker:
    """A process that runs cases one after another, and is started again after one that hung or died."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder, self._seed = folder, seed
        self._warm: set[str] = set()  # kinds whose whole files this process has read
        self._process: multiprocessing.process.BaseProcess | None = None

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def ask(self, kind: str, number: int) -> Outcome:
        """The outcome of a case."""
        if self._process is None:
            self._start()
        self._pipe.send((kind, number))
        began, used = time.monotonic(), _cpu(self._process.pid)
        while not self._pipe.poll(1):
            busy = _cpu(self._process.pid) - used
            if busy > (SECONDS if kind in self._warm else FIRST) or time.monotonic() - began > ASLEEP:
                self._stop()
                return Outcome("hang", said=f"no answer in {busy:.0f} s of computing")
        try:
            found: Outcome = self._pipe.recv()
        except EOFError:
            code = self._stop()
            return Outcome("killed", said=f"the process ended with {code}")
        self._warm.add(kind)
        return found

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, self._folder, self._seed), daemon=True)
        self._process.start()
        theirs.close()
        self._warm.clear()

    def _stop(self) -> int | None:
        if self._process is None:
            return None
        self._process.kill() if self._process.is_alive() else None
        self._process.join()
        code, self._process = self._process.exitcode, None
        return code


def _work(pipe: Connection, folder: Path, seed: int) -> None:
    """Run the cases that `pipe` names, until it is closed."""
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    logging.disable()
    warnings.simplefilter("ignore")
    while True:
        try:
            name, number = pipe.recv()
        except EOFError:
            return
        limit = _address_space() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
        pipe.send(run(KINDS[name], seed, number, folder))


def _address_space() -> int:
    """Bytes of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


def _cpu(process: int | None) -> float:
    """Seconds that a process has computed for."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(state[11]) + int(state[12])) / os.sysconf("SC_CLK_TCK")
