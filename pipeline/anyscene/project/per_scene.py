"""Run a function over scenes: skip the unchanged, resume the interrupted, try all, report the failed."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zarr
from filelock import FileLock, Timeout
from rich.console import Console

from anyscene.errors import PipelineError, ScenesFailed, StoreError
from anyscene.project import store
from anyscene.project.progress import progress

Compute = Callable[[str, zarr.Group], None]

HOLDER = "holder"  # in the workspace: a file that names the process that has it
LOCK_RETRY = 0.01  # seconds
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
    compute: Compute,
    keys: Mapping[str, str | PipelineError],
    output: Path,
    *,
    parameters: Mapping[str, Any],
    version: int,
    workers: int = 1,
    label: str,
) -> RunSummary:
    """Bring `output` up to date: one artefact per scene of `keys`, no others.

    compute(scene, group) fills the group of one scene; it must be picklable where workers != 1. keys maps
    each scene to the content key of all that it is computed from, or to the error met while making the key,
    which is reported with the failures. A scene is computed again if that, `parameters` (JSON-like) or
    `version` (of the algorithm) differ from what its artefact was made with. workers 0 = one per core; they
    share the cores among them, one worker is this process with all of them.
    Raises ScenesFailed after all were tried, StoreError where another run holds the output.
    """
    output = Path(output)
    failures = {scene: str(key) for scene, key in keys.items() if isinstance(key, PipelineError)}
    failures |= {scene: cause for scene in keys if (cause := _unusable_id(scene))}
    wanted = {
        scene: content_key(upstream, parameters, version)
        for scene, upstream in sorted(keys.items())
        if scene not in failures
    }
    output.mkdir(parents=True, exist_ok=True)
    with workspace(output) as unfinished:
        removed = _remove_orphans(output, set(keys), unfinished)
        stale = {
            scene: key for scene, key in wanted.items() if _stored_key(store.scene_path(output, scene)) != key
        }
        with progress(label, len(stale)) as advance:
            for scene, cause in _execute(_Task(compute, output, unfinished), stale, workers):
                if cause is not None:
                    failures[scene] = cause
                advance()
    if failures:
        raise ScenesFailed(failures, len(keys))
    summary = RunSummary(tuple(stale), tuple(scene for scene in wanted if scene not in stale), removed)
    Console(stderr=True).print(f"{label}: {summary}", highlight=False)
    return summary


def worker_count(workers: int) -> int:
    """How many processes `run` takes for `workers`: 0 = one per core that this process may use."""
    return workers or len(os.sched_getaffinity(0))


def content_key(*parts: Any) -> str:
    """sha256 of JSON-like values: the same for equal values on every machine."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def join(**upstream: Mapping[str, str]) -> dict[str, str]:
    """One key per scene out of the keys of several upstream stages, named by the keyword.

    Raises StoreError where a scene is missing from one of them.
    """
    scenes = set().union(*upstream.values())
    for name, found in upstream.items():
        if missing := sorted(scenes - set(found)):
            raise StoreError(
                f"{name} lacks scene {missing[0]} (and {len(missing) - 1} more); run {name} again"
            )
    return {
        scene: content_key({name: found[scene] for name, found in upstream.items()})
        for scene in sorted(scenes)
    }


def _unusable_id(scene: str) -> str | None:
    if not scene or scene.startswith(".") or any(c in "/\\\0" or c.isspace() for c in scene):
        return f"scene id {scene!r} cannot name a folder: no '/', no spaces, no leading '.'"
    return None


@dataclass(frozen=True)
class _Task:
    """Compute one scene beside the output, then move it in: the output only ever holds whole scenes."""

    compute: Compute
    output: Path
    workspace: Path

    def __call__(self, scene: str, key: str) -> str | None:
        """None, or the cause of the failure."""
        partial = store.scene_path(self.workspace, f"{scene}.{os.getpid()}")
        try:
            self.compute(scene, store.create(partial, key))
            replace(partial, store.scene_path(self.output, scene))
        except PipelineError as error:
            return str(error)
        except Exception as error:  # whatever it is, the other scenes go on
            return f"{type(error).__name__}: {error} ({_origin(error)})"
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return None


def replace(new: Path, target: Path) -> None:
    """Put the folder `new` in the place of `target`, which is whole (old or new) or absent at any time."""
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


def _stored_key(path: Path) -> str | None:
    try:
        return store.key(path)
    except StoreError:
        return None


def _remove_orphans(output: Path, wanted: set[str], workspace: Path) -> tuple[str, ...]:
    orphans = tuple(scene for scene in store.scene_ids(output) if scene not in wanted)
    for scene in orphans:
        doomed = store.scene_path(workspace, f"{scene}.orphan")
        os.rename(store.scene_path(output, scene), doomed)  # first out of sight as a whole, then deleted
        shutil.rmtree(doomed)
    return orphans


@contextmanager
def workspace(output: Path) -> Iterator[Path]:
    """A hidden sibling of `output` for unfinished scenes. Nobody else can write the output while it is held.

    It is empty at first and gone in the end. What a killed run left there is removed, and its hold ended with
    it. Raises StoreError that names the process which holds it now.
    """
    folder = output.with_name(f".{output.name}.partial")
    lock = _lock(folder, output)
    try:
        for left_over in folder.glob("*/"):
            shutil.rmtree(left_over, ignore_errors=True)
        (folder / HOLDER).write_text(f"process {os.getpid()} on {socket.gethostname()}")
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()


def _lock(folder: Path, output: Path) -> FileLock:
    """A lock in `folder`, which is made. Raises StoreError where another process has it."""
    lock = FileLock(folder / "lock", timeout=0)
    while True:
        try:
            lock.acquire()
            return lock
        except Timeout:
            with suppress(FileNotFoundError):
                holder = (folder / HOLDER).read_text()
                raise StoreError(f"{output} is being written by {holder}; wait for it or stop it") from None
        except (FileNotFoundError, FileExistsError):
            pass
        time.sleep(LOCK_RETRY)  # the run before is about to end and removes the folder, or another begins


def _execute(task: _Task, scenes: Mapping[str, str], workers: int) -> Iterator[tuple[str, str | None]]:
    """Yield (scene, cause of failure or None) as scenes finish."""
    workers = worker_count(workers)
    # A single scene goes to a worker too: sums differ with the number of threads, and an artefact should not
    # depend on how many others were computed beside it.
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
        # One scene killed a worker and the pool with it: alone, each of the rest shows whether it was it.
        for scene, key in lost.items():
            for _, cause in _pool(task, {scene: key}, 1):
                died = isinstance(cause, BrokenProcessPool)
                yield (
                    scene,
                    "its process was killed (out of memory?); lower runtime.workers" if died else cause,
                )


def _pool(
    task: _Task, scenes: Mapping[str, str], workers: int
) -> Iterator[tuple[str, str | BrokenProcessPool | None]]:
    context = multiprocessing.get_context("spawn")  # forking after torch or numba started threads deadlocks
    with ProcessPoolExecutor(
        workers, mp_context=context, initializer=_start_worker, initargs=(task,)
    ) as pool:
        futures: dict[Future, str] = {}
        for scene, key in scenes.items():
            try:
                futures[pool.submit(_work, scene, key)] = scene
            except BrokenProcessPool as error:
                yield scene, error
        try:
            for future in as_completed(futures):
                error = future.exception()
                if error is not None and not isinstance(error, BrokenProcessPool):
                    raise error
                yield futures[future], error or future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


_task: _Task  # of this worker process


def _start_worker(task: _Task) -> None:
    global _task
    _task = task
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _work(scene: str, key: str) -> str | None:
    return _task(scene, key)


def _exit_with_parent() -> None:
    """A killed run must not leave workers behind that go on writing."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _thread_limit(threads: int) -> Iterator[None]:
    """Environment of the workers to be started: their libraries read it when they are first imported."""
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
