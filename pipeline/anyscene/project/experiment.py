"""The copy of a project in which DVC runs an experiment: `dvc exp run --temp`, the queue.

The copy holds what Git knows. What Git does not know, such as raw scans and weights, is linked to where it
lies in the project: nothing of it is copied, and nothing is read again only to be hashed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from anyscene.errors import ConfigError
from anyscene.project import layout
from anyscene.project.parameters import Params
from anyscene.project.stages import Stage

COPIES = Path(".dvc/tmp")  # in a project: below it DVC makes the copies
VARIABLE = "DVC_ROOT"  # of the environment: DVC names the project in it, also to the stages in a copy


def project() -> Path | None:
    """The project in whose copy this process works; None where it works in none."""
    named = os.environ.get(VARIABLE)
    if named is None:
        return None
    found = Path(named).resolve()
    return found if Path.cwd().is_relative_to(found / COPIES) else None


def link(stages: Mapping[str, Stage], params: Params) -> None:
    """Where this process works in a copy, link what `stages` read with these parameters and what is missing
    here. What stages write is never linked, or they would write into the project.

    Raises ConfigError where a parameter names a path that leads out of the project and is not absolute."""
    origin = project()
    if origin is None:
        return
    with contextlib.chdir(origin):  # what is read depends on what is there, such as answers of 2D models
        named = _read(stages.values(), params)
    written = {path for stage in stages.values() for path in stage.written(params)}
    for path in sorted(named):
        if ".." in path.parts:
            raise ConfigError(
                f"{path}: leads out of the project, and an experiment beside the workspace runs elsewhere; "
                f"write it in full in {layout.PARAMETERS}: {(origin / path).resolve()}"
            )
        if not path.is_absolute():
            _link(path, origin, written)
    _link(layout.DIGESTS, origin, ())


def remember(folder: Path) -> None:
    """Where this process works in a copy, tell DVC the hashes that it found of the files in `folder` in the
    project. It keeps hashes by project, and would read all raw scans once more for every copy."""
    origin = project()
    if origin is None:
        return
    from dvc.repo import Repo  # only here, because it takes a second to import

    with Repo(str(origin)) as theirs, Repo() as ours:
        for parent, _, names in os.walk(folder):
            places = {str(Path.cwd() / parent / name): str(origin / parent / name) for name in names}
            infos = {there: theirs.fs.info(there) for there in places.values()}
            found = theirs.state.get_many(infos, theirs.fs, infos)
            known = {there: state for there, _, state in found if state is not None}
            own = [(here, known[there], None) for here, there in places.items() if there in known]
            ours.state.save_many(own, ours.fs)


def _read(stages: Iterable[Stage], params: Params) -> set[Path]:
    """All that stages read, whole folders where what is inside belongs together."""
    found = {Path(params.dataset.root), Path(params.segmenters.weights)}
    for stage in stages:
        for item in stage.items(params):
            found.update(map(_whole, (*stage.files(params, item), *stage.scene_files(params, item))))
        found.update(Path(path) for path in stage.reads if "$" not in str(path))
    found.update(layout.NETWORKS / entry.start for entry in params.training.values())
    return {Path(os.path.normpath(path)) for path in found}


def _whole(path: Path) -> Path:
    """The folder of a network where `path` is a file of one."""
    return path.parent if path.parent.parent == layout.NETWORKS else path


def _link(path: Path, origin: Path, written: Collection[Path], whole: bool = True) -> None:
    """Link `path` to its namesake in `origin`. Where it is a folder that is there already, or in which
    something is written, only what is missing in it is linked, file by file: DVC follows a link to the folder
    that a stage reads, and none below it."""
    source = origin / path
    if any(path.is_relative_to(one) for one in written) or not source.exists():
        return
    if path.exists() and path.samefile(source):
        return
    if not source.is_dir() or (whole and not path.exists() and not _holds(path, written)):
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(source)
        return
    path.mkdir(parents=True, exist_ok=True)
    for name in sorted(os.listdir(source)):
        _link(path / name, origin, written, whole=False)


def _holds(path: Path, written: Collection[Path]) -> bool:
    return any(one.is_relative_to(path) for one in written)
