"""Run a function over scenes, in several processes: skip unchanged ones, continue after an interruption, try
all, report failures."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import multiprocessing
import os
import random
import shutil
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

import zarr
from filelock import BaseFileLock, Timeout
from rich.console import Console

from anyscene.errors import FailedBefore, PipelineError, ScenesFailed, StoreError
from anyscene.project import layout, outputs, store
from anyscene.project.digests import Digests
from anyscene.project.freshness import Freshness
from anyscene.project.progress import progress

Compute = Callable[[str, zarr.Group], None]
Item = TypeVar("Item")
Found = TypeVar("Found")


@dataclass(frozen=True)
class Later:
    """A function that is made once a scene has to be computed, since making it loads models."""

    make: Callable[[], Compute]


HOLDER = "holder"  # a file in the workspace that names the process which holds it
LOCK_RETRY = 0.01  # seconds
LONGEST_ID = 200  # bytes of a scene id: names that are made of it have more, and at most 255
AHEAD = 2  # results that may wait for each process, so that memory does not grow with the scenes
THREAD_LIMITS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "BLOSC_NTHREADS",
)


@dataclass(frozen=True)
class RunSummary:
    """The scenes that were computed, found unchanged, and removed because their input is gone."""

    done: tuple[str, ...]
    skipped: tuple[str, ...]
    removed: tuple[str, ...]

    def __str__(self) -> str:
        return f"{len(self.done)} computed, {len(self.skipped)} unchanged, {len(self.removed)} removed"


def run(
    compute: Compute | Later,
    keys: Mapping[str, str | PipelineError],
    output: Path,
    *,
    parameters: Mapping[str, Any],
    fresh: Freshness,
    workers: int = 1,
    failures: int = 0,
    label: str,
) -> RunSummary:
    """Bring the folder `output` up to date: one artefact for each scene of `keys`, and no others.

    compute: compute(scene, group) fills the group of one scene; it must be picklable where workers != 1.
    keys: for each scene the content key of everything that it is computed from, or the error that was met
    while its key was made, which is reported with the failures. A scene with FailedBefore is left out.
    parameters: JSON-like values that enter the result.
    fresh: what the artefacts are made by.
    workers: processes, among which the cores are divided; 0 = one for each core, 1 = this process alone.
    failures: how many scenes may fail. These are left out, and FAILED in the output names them for the stages
    that follow.
    label: what messages call the run.

    A scene is computed again where its key, `parameters` or `fresh` differ from those that its artefact was
    made with, and where a file of the artefact is cut, altered or missing.

    With `fresh.check` no scene is computed of which only code or packages changed, except for that many,
    which are drawn at random. If these have the same bytes as before, all such scenes are adopted, and their
    attributes say so.

    Raises ScenesFailed where more fail, after all scenes were tried; StoreError where another run holds the
    output, or where the bytes to be adopted are not the same.
    """
    output = Path(output)
    before = {scene: str(key) for scene, key in keys.items() if isinstance(key, FailedBefore)}
    keys = {scene: key for scene, key in keys.items() if scene not in before}
    failed = {scene: str(key) for scene, key in keys.items() if isinstance(key, PipelineError)}
    failed |= {scene: cause for scene in keys if (cause := _unusable_id(scene))}
    wanted = {
        scene: content_key(upstream, parameters, fresh.given)
        for scene, upstream in sorted(keys.items())
        if scene not in failed
    }
    output.mkdir(parents=True, exist_ok=True)
    with workspace(output) as unfinished, Digests(layout.DIGESTS) as digests:
        whole = {scene: _whole(store.scene_path(output, scene), digests) for scene in wanted}

        def task() -> _Task:
            made = compute.make() if isinstance(compute, Later) else compute
            return _Task(made, output, unfinished, fresh.made_by)

        if fresh.check:
            return _adopt(task, wanted, whole, fresh, workers, label)
        removed = _remove_orphans(output, set(keys), unfinished)
        stale = {
            scene: given
            for scene, given in wanted.items()
            if (made := whole[scene]) is None or (made.given, made.by) != (given, fresh.made_by)
        }
        with progress(label, len(stale)) as advance:
            for scene, cause in _execute(task(), stale, workers) if stale else ():
                if cause is not None:
                    failed[scene] = cause
                advance()
        if len(failed) > failures:
            store.note_failed(output, {})
            raise ScenesFailed(failed, len(keys))
        removed += _remove_orphans(output, keys.keys() - failed.keys(), unfinished)
        store.note_failed(output, before | {scene: f"{label}: {cause}" for scene, cause in failed.items()})
    done = tuple(scene for scene in stale if scene not in failed)
    summary = RunSummary(done, tuple(scene for scene in wanted if scene not in stale), removed)
    say = Console(stderr=True, soft_wrap=True, highlight=False)
    say.print(f"{label}: {summary}")
    if failed:
        say.print(f"{label}: {len(failed)} of {len(keys)} scenes failed and are left out:")
        for scene, cause in sorted(failed.items()):
            say.print(f"  {scene}: {cause}", markup=False)
    if before:
        say.print(f"{label}: {len(before)} scenes are left out because a stage before failed on them")
    return summary


class WorkerPool:
    """WorkerPool that stay for several calls of `each`, since one takes seconds to start and to import
    PyTorch. They start when they are first needed, and end with the context."""

    def __init__(self, workers: int) -> None:
        """workers: as for `run`."""
        self.count = worker_count(workers)
        self._pool: ProcessPoolExecutor | None = None
        self._asked = itertools.count()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def each(self, make: Callable[[], Callable[[Item], Found]], items: Sequence[Item]) -> Iterator[Found]:
        """As the function `each`."""
        if self.count == 1 or len(items) < 2:
            yield from map(_Made(make), items)
            return
        number = next(self._asked)
        ahead: deque[Future[Found]] = deque()
        with _thread_limit(max(1, worker_count(0) // self.count)):
            self._pool = self._pool or _started(_Latest(), self.count)
            try:
                for item in items:
                    ahead.append(self._pool.submit(_work, number, make, item))
                    if len(ahead) > AHEAD * self.count:
                        yield ahead.popleft().result()
                while ahead:
                    yield ahead.popleft().result()
            except BrokenProcessPool as error:
                raise PipelineError(
                    "a process was killed (out of memory?); lower runtime.workers and run again"
                ) from error
            finally:
                for future in ahead:
                    future.cancel()


def each(
    make: Callable[[], Callable[[Item], Found]], items: Sequence[Item], workers: int | WorkerPool
) -> Iterator[Found]:
    """Yield make()(item) of each of the `items`, in their order. Each process calls `make` once, when it has
    something to do.

    make: picklable, and so are items and results, where workers != 1. workers: as for `run`, or processes
    that stay. What a call raises is raised here. Raises PipelineError where a process was killed.
    """
    if isinstance(workers, WorkerPool):
        yield from workers.each(make, items)
        return
    with WorkerPool(min(worker_count(workers), max(1, len(items)))) as processes:
        yield from processes.each(make, items)


class _Made(Generic[Item, Found]):
    """A function that is made when it is first called."""

    def __init__(self, make: Callable[[], Callable[[Item], Found]]) -> None:
        self._make = make
        self._work: Callable[[Item], Found] | None = None

    def __call__(self, item: Item) -> Found:
        if self._work is None:
            self._work = self._make()
        return self._work(item)


class _Latest:
    """In a process: the function of the last call of `each`, made once."""

    def __init__(self) -> None:
        self._number = -1
        self._work: Callable[[Any], Any] | None = None

    def __call__(self, number: int, make: Callable[[], Callable[[Item], Found]], item: Item) -> Found:
        if self._work is None or number != self._number:
            self._work = None  # what it holds is freed before the next is made
            self._number, self._work = number, make()
        found: Found = self._work(item)
        return found


def _adopt(
    make: Callable[[], _Task],
    wanted: Mapping[str, str],
    whole: Mapping[str, store.Made | None],
    fresh: Freshness,
    workers: int,
    label: str,
) -> RunSummary:
    """Adopt what older code made, if today's code makes the same bytes of a sample of it."""
    older = {
        scene: made
        for scene, given in wanted.items()
        if (made := whole[scene]) is not None and made.given == given and made.by != fresh.made_by
    }
    drawn = sorted(random.Random(fresh.seed).sample(sorted(older), min(fresh.check, len(older))))
    if not older:
        Console(stderr=True).print(f"{label}: 0 compared, 0 adopted", highlight=False)
        return RunSummary((), (), ())
    task = make()
    again = dataclasses.replace(task, output=task.workspace / "again")
    again.output.mkdir()
    with progress(f"{label}, compared", len(drawn)) as advance, Digests(None) as digests:
        for scene, cause in _execute(again, {scene: wanted[scene] for scene in drawn}, workers):
            if cause is not None:
                raise ScenesFailed({scene: cause}, len(drawn))
            new, old = (store.scene_path(folder, scene) for folder in (again.output, task.output))
            if store.content(new, digests) != older[scene].content or store.told(new) != store.told(old):
                raise StoreError(
                    f"{old}: today's code makes different bytes ({', '.join(_differing(new, old))}); nothing "
                    "was adopted; run the stage, which computes its scenes again"
                )
            advance()
    for scene, made in older.items():
        path = store.scene_path(task.output, scene)
        taken = [*store.open_scene(path).attrs.get("adopted", []), {"from": made.by, "compared": drawn}]
        store.note(path, made_by=fresh.made_by, adopted=taken)
    summary = RunSummary((), tuple(older), ())
    Console(stderr=True).print(f"{label}: {len(drawn)} compared, {len(older)} adopted", highlight=False)
    return summary


def _differing(one: Path, other: Path) -> list[str]:
    """The names of the arrays whose bytes differ between two artefacts, and of the attributes."""
    names = sorted({*store.open_scene(one), *store.open_scene(other)})
    said, before = store.told(one), store.told(other)
    attributes = sorted(name for name in {*said, *before} if said.get(name) != before.get(name))
    with Digests(None) as digests:
        return attributes + [
            name
            for name in names
            if not ((one / name).is_dir() and (other / name).is_dir())
            or digests(one / name, lambda _: True) != digests(other / name, lambda _: True)
        ]


def _whole(path: Path, digests: Digests) -> store.Made | None:
    """How the artefact at `path` was made; None where there is none, or its files are not as they were
    written."""
    try:
        made = store.made(path)
        return made if store.content(path, digests) == made.content else None
    except (StoreError, OSError):
        return None


def worker_count(workers: int) -> int:
    """The number of processes that `run` uses for `workers`: 0 = one for each core that this process may
    use."""
    return workers or len(os.sched_getaffinity(0))


def content_key(*parts: Any) -> str:
    """The sha256 of JSON-like values, in hexadecimal. Equal values have the same key on every machine."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def join(**upstream: Mapping[str, str | FailedBefore]) -> store.Keys:
    """One key for each scene from the keys of several upstream stages; the keyword names the stage. A scene
    that one of them left out has its FailedBefore.

    Raises StoreError where a scene is missing from one of them.
    """
    scenes = set().union(*upstream.values())
    for name, found in upstream.items():
        if missing := sorted(scenes - set(found)):
            raise StoreError(
                f"{name} lacks scene {missing[0]} (and {len(missing) - 1} more); run {name} again"
            )
    return {
        scene: next(
            (found[scene] for found in upstream.values() if isinstance(found[scene], FailedBefore)),
            content_key({name: str(found[scene]) for name, found in upstream.items()}),
        )
        for scene in sorted(scenes)
    }


def _unusable_id(scene: str) -> str | None:
    if not scene or scene.startswith(".") or any(c in "/\\\0" or c.isspace() for c in scene):
        return f"scene id {scene!r} cannot name a folder: no '/', no spaces, no leading '.'"
    if len(os.fsencode(scene)) > LONGEST_ID:
        return f"scene id {scene[:20]}... is too long to name a folder: give at most {LONGEST_ID} bytes"
    return None


@dataclass(frozen=True)
class _Task:
    """Compute one scene beside the output and then move it there, so that the output only holds whole
    scenes."""

    compute: Compute
    output: Path
    workspace: Path
    made_by: str  # digest of code and packages

    def __call__(self, scene: str, given: str) -> str | None:
        """Compute `scene`; returns None, or the cause of its failure. given: digest of inputs, parameters and
        files."""
        partial = store.scene_path(self.workspace, f"{scene}.{os.getpid()}")
        try:
            self.compute(scene, store.create(partial, content_key(given, self.made_by)))
            with Digests(layout.DIGESTS) as digests:
                content = store.content(partial, digests, ours=True)
            store.note(partial, given=given, made_by=self.made_by, content=content)
            replace(partial, store.scene_path(self.output, scene))
        except PipelineError as error:
            return str(error)
        except Exception as error:  # whatever it is, the other scenes are still computed
            return f"{type(error).__name__}: {error} ({_origin(error)})"
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return None


def replace(new: Path, target: Path) -> None:
    """Put the folder `new` in the place of `target`, which at any time is the old one, absent, or the new
    one."""
    if target.exists():
        old = new.with_name(f"{new.name}.old")
        os.rename(target, old)
        os.rename(new, target)
        shutil.rmtree(old)
    else:
        os.rename(new, target)


def _origin(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "unknown" if trace is None else f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"


def _remove_orphans(output: Path, wanted: set[str], workspace: Path) -> tuple[str, ...]:
    orphans = tuple(scene for scene in store.scene_ids(output) if scene not in wanted)
    for scene in orphans:
        doomed = store.scene_path(workspace, f"{scene}.orphan")
        os.rename(store.scene_path(output, scene), doomed)  # first out of sight as a whole, then deleted
        shutil.rmtree(doomed)
    return orphans


@contextmanager
def workspace(output: Path) -> Iterator[Path]:
    """A hidden folder beside `output` for unfinished scenes. While it is held no other run writes the output.

    It is empty at first and is removed in the end. What a killed run left there is removed first; its hold
    ended with its process. Raises StoreError naming the process that holds it now.
    """
    folder = output.with_name(f".{output.name}.partial")
    lock = _lock(folder, output)
    try:
        for left_over in folder.glob("*/"):
            shutil.rmtree(left_over, ignore_errors=True)
        (folder / HOLDER).write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()


def _lock(folder: Path, output: Path) -> BaseFileLock:
    """Create `folder` and hold the lock in it. Raises StoreError where another process holds it."""
    while True:
        try:
            return outputs.held(folder)
        except Timeout:
            with suppress(FileNotFoundError):
                holder = (folder / HOLDER).read_text(encoding="utf-8")
                raise StoreError(f"{output} is being written by {holder}; wait for it or stop it") from None
        except (FileNotFoundError, FileExistsError):
            pass
        time.sleep(LOCK_RETRY)  # an earlier run ends and removes the folder, or another begins


def _execute(task: _Task, scenes: Mapping[str, str], workers: int) -> Iterator[tuple[str, str | None]]:
    """Yield (scene, cause of failure or None) as scenes finish."""
    workers = worker_count(workers)
    # A single scene goes to a worker too: sums differ with the number of threads, and an artefact must not
    # depend on how many others were computed at the same time.
    if workers == 1 or not scenes:
        for scene, key in scenes.items():
            yield scene, task(scene, key)
        return
    lost = {}
    with _thread_limit(max(1, worker_count(0) // workers)):
        for scene, cause in _pool(task, scenes, min(workers, len(scenes))):
            if isinstance(cause, BrokenProcessPool):
                lost[scene] = scenes[scene]
            else:
                yield scene, cause
        # One scene killed a worker and so the pool: the rest run alone, which shows the one that did it.
        for scene, key in lost.items():
            for _, cause in _pool(task, {scene: key}, 1):
                if isinstance(cause, BrokenProcessPool):
                    cause = "its process was killed (out of memory?); lower runtime.workers"
                yield scene, cause


def _pool(
    task: _Task, scenes: Mapping[str, str], workers: int
) -> Iterator[tuple[str, str | BrokenProcessPool | None]]:
    with _started(task, workers) as pool:
        futures: dict[Future[str | None], str] = {}
        for scene, key in scenes.items():
            try:
                futures[pool.submit(_work, scene, key)] = scene
            except BrokenProcessPool as broken:
                yield scene, broken
        try:
            for future in as_completed(futures):
                error = future.exception()
                if error is not None and not isinstance(error, BrokenProcessPool):
                    raise error
                yield futures[future], error or future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _started(task: Callable[..., Any], workers: int) -> ProcessPoolExecutor:
    """So many processes in which `_work` calls `task`."""
    context = multiprocessing.get_context("spawn")  # forking after torch or numba started threads deadlocks
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker, initargs=(task,))


_task: Callable[..., Any]  # of this worker process


def _start_worker(task: Callable[..., Any]) -> None:
    global _task
    _task = task
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _work(*given: Any) -> Any:
    return _task(*given)


def _exit_with_parent() -> None:
    """End this worker with its parent: a killed run must not leave workers behind that still write."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _thread_limit(threads: int) -> Iterator[None]:
    """Set the environment of workers that start meanwhile. Their libraries read it when they are imported."""
    before = {name: os.environ.get(name) for name in THREAD_LIMITS}
    os.environ.update(dict.fromkeys(THREAD_LIMITS, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
