"""`dvc repro` killed at random moments, started again: in the end the bytes of an undisturbed run."""

import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from anyscene.project import layout
from tests.builders import REPOSITORY
from tests.builders.killed_dvc import MOMENTS

pytestmark = pytest.mark.integration

# How often a stage is killed at work, and at which moments while dvc keeps what it wrote.
FEW = {
    "world": (1, ()),
    "superpoints": (1, ("cache",)),
    "projection@dense": (1, ()),
    "synthesis": (1, ()),
    "fusion": (1, ("lock",)),
    "training@distilled": (0, ("hash",)),
    "training@ensembled": (1, ("cache", "locked")),
}
MANY = {
    "world": (2, MOMENTS),
    "scenes": (2, MOMENTS),
    "labels": (2, MOMENTS),
    "superpoints": (2, MOMENTS),
    "projection@dense": (3, MOMENTS),
    "projection@mask": (3, MOMENTS),
    "synthesis": (3, MOMENTS),
    "capability@dense": (1, MOMENTS),
    "capability@mask": (1, MOMENTS),
    "fusion": (3, MOMENTS),
    "training@distilled": (2, MOMENTS),
    "training@ensembled": (2, MOMENTS),
    "evaluation": (1, MOMENTS),
    "report": (1, MOMENTS),
}  # 84 in all


@pytest.mark.parametrize(
    ("kills", "targets"),
    [
        pytest.param(FEW, ("training@ensembled", "labels"), id="few"),
        pytest.param(MANY, ("report", "labels"), id="many", marks=pytest.mark.slow),
    ],
)
def test_killed_runs_end_in_the_same_bytes(finished, tmp_path, kills, targets):
    """The undisturbed run goes on from the finished project."""
    whole = finished.copy(tmp_path / "whole")
    disturbed = finished.clone(tmp_path / "disturbed")
    for workspace in (whole, disturbed):
        workspace.set({"runtime": {"workers": 2}})
    rng = np.random.default_rng(0)
    with ThreadPoolExecutor(1) as beside:
        undisturbed = beside.submit(whole.dvc, "repro", *targets)
        for stage, (times, moments) in kills.items():
            for _ in range(times):
                while not killed_in(disturbed, stage, rng):  # it was faster: let it begin anew
                    begin_anew(disturbed, stage)
            for moment in moments:
                result = killed_at(disturbed, stage, moment)
                if f"Stage '{stage}' didn't change" in result.output:  # the last kill came after its end
                    begin_anew(disturbed, stage)
                    result = killed_at(disturbed, stage, moment)
                assert result.code == -signal.SIGKILL, f"{stage} is not killed at {moment}: {result.output}"
        results = disturbed.dvc("repro", *targets), undisturbed.result()
    for result in results:
        assert result.code == 0, result.output
    ours, theirs = (workspace.artefacts("data", "models", "reports") for workspace in (disturbed, whole))
    assert set(ours) == set(theirs)
    # .gitignore is dvc's, in the order of its runs
    own = {path for path in ours if path.endswith(".gitignore") or path == str(layout.TIMINGS)}
    assert [path for path in set(ours) - own if ours[path] != theirs[path]] == []
    assert disturbed.lock() == whole.lock() and disturbed.damaged() == []


def killed_at(workspace, stage, moment):
    """What `dvc repro STAGE` says until it is killed at a moment of dvc's own work."""
    command = ("-m", "tests.builders.killed_dvc", moment, stage, "repro", stage)
    return workspace.run(*command, path=REPOSITORY, alone=True)


def begin_anew(workspace, stage):
    """Remove what a stage has written."""
    name, _, item = stage.partition("@")
    for path in {
        "training": (layout.NETWORKS / item, layout.TRAINED / f"{item}.json"),
        "capability": (layout.CAPABILITY / f"{item}.json",),
        "evaluation": (layout.METRICS,),
        "report": (layout.PAGE,),
    }.get(name, (layout.DATA / name / item,)):
        found = workspace.folder / path
        shutil.rmtree(found) if found.is_dir() else found.unlink()


def killed_in(workspace, stage, rng):
    """Kill dvc, the stage and its workers, all at once, while `dvc repro STAGE` works on the stage. Returns
    False where it ended before."""
    log = workspace.folder.parent / "killed.log"
    since = time.time()
    with open(log, "w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "dvc", "repro", stage],
            cwd=workspace.folder,
            env=workspace.environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    by_scene = not stage.startswith(("capability", "training", "evaluation", "report"))

    def at_work():
        begun = f"Running stage '{stage}'" in log.read_text()
        return begun and (not by_scene or writes(workspace.folder / "data", since))

    while not at_work():
        if process.poll() is not None:
            assert process.returncode == 0, log.read_text()
            return False
        time.sleep(0.01)
    time.sleep(rng.uniform(0, 0.7 if by_scene else 3))
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def writes(data, since):
    """Whether a scene is half written."""
    for partial in (*data.glob(".*.partial"), *data.glob("*/.*.partial")):
        try:
            if any(part.is_dir() and part.stat().st_mtime > since for part in partial.iterdir()):
                return True
        except FileNotFoundError:
            pass  # it has just been finished
    return False
