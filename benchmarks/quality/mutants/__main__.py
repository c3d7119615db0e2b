"""python -m benchmarks.quality.mutants --room fusion [--count 20] [--seed 1]: faults against the tests.

Each fault is put into a copy of the repository, one at a time, and the tests of its file are run there. A
fault is noticed where they fail, or compute much longer than before; what else the machine does is not
counted. Survivors are listed: some change nothing that one could see, the others want a test.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import random
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from anyscene.project import layout
from benchmarks.quality.mutants.faults import Fault, faults
from benchmarks.quality.mutants.tests_of import PACKAGE, REPOSITORY, tests_of

COPIED = (
    "pipeline",
    "tests",
    "stages",
    "benchmarks",
    "docs",
    "pyproject.toml",
    layout.PARAMETERS,
    layout.DVC,
)
LINKED = ("dvc.lock", "data", "models", "reports", "README.md", "CHANGELOG.md", "Makefile", "install", ".dvc")
HEAVY = ("numpy", "scipy.spatial", "torch", "numba", "zarr", "PIL.Image", "yaml", "pytest", "typer")
OURS = ("anyscene", "anyscene_demo", "benchmarks", "stages", "tests")
PATIENCE = 60.0  # seconds that tests may compute beyond three times of before
HANGING = 1800.0  # seconds after which tests that compute nothing are ended


def main(
    room: Annotated[list[str], typer.Option(help="a room, or a file; several may be given")],
    count: Annotated[int, typer.Option(help="faults")] = 20,
    seed: Annotated[int, typer.Option()] = 1,
    what: Annotated[str, typer.Option(help="of this kind alone, such as 'refusal removed'")] = "",
    minutes: Annotated[float, typer.Option(help="no further fault is tried after these")] = 1e9,
    out: Annotated[Path | None, typer.Option(help="JSON to write")] = None,
) -> None:
    """Put faults into rooms at random, and print which the tests did not notice."""
    files = [file for name in room for file in _files(PACKAGE / name)]
    every = [(file, fault) for file in files for fault in faults(file.read_text())]
    sites = [(file, fault) for file, fault in every if what in fault.what]
    drawn = random.Random(seed).sample(sites, min(count, len(sites)))
    for module in HEAVY:
        importlib.import_module(module)  # once: the tests run in processes that are forked from this one
    whole, noticed, survivors = Counter[str](), Counter[str](), []
    before: dict[tuple[Path, ...], float | None] = {}  # how long tests take without a fault; None: they fail
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutants_") as temporary:
        place = _copy(Path(temporary))
        for file, fault in drawn:
            if time.monotonic() - began > 60 * minutes:
                break
            inside, tests = file.relative_to(PACKAGE), tuple(tests_of(file))
            said = f"{inside}:{fault.start[0]} {fault.what}: {' '.join(fault.code.split())[:90]}"
            if tests not in before:
                before[tests] = _seconds(place, tests)
            taken = before[tests]
            if taken is None:
                print(f"NOT TRIED {said}: its tests fail without it", flush=True)
                continue
            seen = bool(tests) and _notice(place, file, fault, tests, taken)
            whole[inside.parts[0]] += 1
            noticed[inside.parts[0]] += seen
            print(f"{'noticed ' if seen else 'SURVIVED'} {said}", flush=True)
            if not seen:
                survivors.append(said)
    for name in whole:
        print(f"{name}: {noticed[name]} of {whole[name]} noticed, {100 * noticed[name] / whole[name]:.0f} %")
    if out is not None:
        record = {"seed": seed, "faults": whole, "noticed": noticed, "survivors": survivors}
        out.write_text(json.dumps(record, indent=2) + "\n")


def _seconds(place: Path, tests: tuple[Path, ...]) -> float | None:
    """How long the tests compute without a fault; None where they fail."""
    passed, seconds = _passes(place, tests, 3600.0) if tests else (True, 0.0)
    return seconds if passed else None


def _notice(place: Path, file: Path, fault: Fault, tests: tuple[Path, ...], before: float) -> bool:
    """Whether the tests notice a fault. before: how long they take without one."""
    target = place / file.relative_to(REPOSITORY)
    target.write_text(fault.put(file.read_text()))
    try:
        return not _passes(place, tests, 3 * before + PATIENCE)[0]
    finally:
        target.write_text(file.read_text())


def _files(place: Path) -> list[Path]:
    return [place] if place.is_file() else sorted(place.rglob("*.py"))


def _copy(folder: Path) -> Path:
    for name in COPIED:
        source = REPOSITORY / name
        ignored = shutil.ignore_patterns("__pycache__")
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=ignored)
        elif source.is_file():
            shutil.copy(source, folder / name)
    for name in LINKED:
        if (REPOSITORY / name).exists():
            (folder / name).symlink_to(REPOSITORY / name)
    return folder


def _passes(place: Path, tests: tuple[Path, ...], seconds: float) -> tuple[bool, float]:
    """Whether the tests pass in the copy at `place` while no process computes for longer than `seconds`, and
    how long all of them have computed."""
    answer, said = os.pipe()
    if (child := os.fork()) == 0:
        try:
            os.setsid()
            resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1, int(seconds) + 1))
            os.write(said, b"passed" if _run(place, tests) == 0 else b"failed")
        finally:  # nothing of the parent is cleaned up here
            os.kill(os.getpid(), signal.SIGKILL)
    os.close(said)
    ended, _, _ = select.select([answer], [], [], HANGING)
    found = os.read(answer, 6) if ended else b""  # nothing where the process died
    os.close(answer)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # with what it has started
    used = os.wait4(child, 0)[2]
    return found == b"passed", used.ru_utime + used.ru_stime


def _run(place: Path, tests: tuple[Path, ...]) -> int:
    """Run the tests in this process."""
    import pytest

    with open(os.devnull, "w") as nothing:
        for stream in (1, 2):
            os.dup2(nothing.fileno(), stream)
    os.chdir(place)
    os.environ["PYTHONPATH"] = f"{place / 'pipeline'}{os.pathsep}{place}"
    sys.path[:0] = [str(place / "pipeline"), str(place)]
    for name in list(sys.modules):
        if name.partition(".")[0] in OURS:
            del sys.modules[name]
    return int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "--rootdir", str(place), *map(str, tests)]))


if __name__ == "__main__":
    typer.run(main)
