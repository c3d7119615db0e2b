"""One case: whole files, one of them damaged, read."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import re
import shutil
import traceback
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from anyscene.errors import PipelineError, ScenesFailed
from benchmarks.quality.fuzz.damage import damage
from benchmarks.quality.fuzz.kind import Kind, UnsoundError, digest

ANSWERED = ("refused", "same", "other")
FAULTS = ("wrong", "unsound", "traceback", "nameless", "hang", "memory", "killed")
HIDDEN = re.compile(r"\b\w*(Error|Exception): .*\(\w+\.py:\d+\)")  # by a run over scenes


@dataclass(frozen=True)
class Outcome:
    """what: one of ANSWERED or FAULTS; how: what was done to which file; said: the message."""

    what: str
    how: str = ""
    said: str = ""

    def __str__(self) -> str:
        return f"{self.what}, {self.how}: {self.said}"


def run(kind: Kind, seed: int, number: int, folder: Path, raises: bool = False) -> Outcome:
    """The case `number` of a kind; `folder` keeps whole files between calls. raises: whether a traceback
    is raised."""
    whole, wanted = _whole(kind, folder)
    rng = np.random.default_rng([seed, zlib.crc32(kind.name.encode()), number])
    place = folder / f"{seed}-{number}"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(whole, place)
    done = damage(place, kind.files(place), rng)
    how = f"{done.how} {done.file}"
    try:
        found = _answer(kind, place)
    except PipelineError as error:
        return _judged(error, how, place, done.file)
    except UnsoundError as error:
        return Outcome("unsound", how, str(error))
    except MemoryError:
        return Outcome("memory", how, "".join(traceback.format_exc(limit=-3)))
    except BaseException as error:
        if raises or isinstance(error, KeyboardInterrupt):
            raise
        return Outcome("traceback", how, _origin(error))
    finally:
        shutil.rmtree(place, ignore_errors=True)
    if found == wanted:
        return Outcome("same", how)
    return Outcome("wrong" if done.how in kind.told else "other", how)


@functools.cache
def _whole(kind: Kind, folder: Path) -> tuple[Path, str]:
    """Whole files, and what they answer."""
    whole = folder / "whole" / kind.world
    if not whole.is_dir():
        whole.mkdir(parents=True)
        with _silent():
            kind.write(whole)
    copy = folder / "first"
    shutil.copytree(whole, copy)
    try:
        return whole, _answer(kind, copy)
    finally:
        shutil.rmtree(copy)


def _answer(kind: Kind, place: Path) -> str:
    before = Path.cwd()
    os.chdir(place)
    try:
        with _silent():
            return digest(kind.read(place))
    finally:
        os.chdir(before)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        yield


def _judged(error: PipelineError, how: str, place: Path, file: Path) -> Outcome:
    """A refusal, where it is one that helps."""
    said = str(error).replace(f"{place}/", "")
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError):
            return Outcome("memory", how, said)
        cause = cause.__cause__ or cause.__context__
    if HIDDEN.search(said):
        return Outcome("traceback", how, said)
    if isinstance(error, ScenesFailed):  # it names scenes
        return Outcome("refused", how, said)
    if not any(part.removesuffix(".zarr") in str(error) for part in (*file.parts, file.stem, place.name)):
        return Outcome("nameless", how, said)
    return Outcome("refused", how, said)


def _origin(error: BaseException) -> str:
    """An error in one line: what, and where in this project."""
    ours = [
        f"{Path(frame.filename).name}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if "anyscene" in frame.filename and "site-packages" not in frame.filename
    ]
    last = traceback.extract_tb(error.__traceback__)[-1]
    at = f"{Path(last.filename).name}:{last.lineno}"
    return f"{type(error).__name__}: {str(error)[:300]} ({' < '.join([at, *reversed(ours[-3:])])})"
