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

pytestmark = pytest.mark.integration

FEW = dict.fromkeys(
    ("world", "superpoints", "projection@dense", "synthesis", "fusion", "training@ensembled"), 1
)
KILLS = {
    "world": 2,
    "scenes": 2,
    "labels": 2,
    "superpoints": 2,
    "projection@dense": 3,
    "projection@mask": 3,
    "synthesis": 3,
    "capability@dense": 1,
    "capability@mask": 1,
    "fusion": 3,
    "training@distilled": 2,
    "training@ensembled": 1,
}  # 25 in all
TARGETS = ("training@ensembled", "labels")


@pytest.mark.parametrize(
    "kills", [pytest.param(FEW, id="few"), pytest.param(KILLS, id="many", marks=pytest.mark.slow)]
)
def test_killed_runs_end_in_the_same_bytes(finished, tmp_path, kills):
    """kills: how often in which stage. The undisturbed run goes on from the finished project."""
    whole = finished.copy(tmp_path / "whole")
    disturbed = finished.clone(tmp_path / "disturbed")
    for workspace in (whole, disturbed):
        workspace.set({"runtime": {"workers": 2}})
    rng = np.random.default_rng(0)
    with ThreadPoolExecutor(1) as beside:
        undisturbed = beside.submit(whole.dvc, "repro", *TARGETS)
        for stage, times in kills.items():
            for _ in range(times):
                while not killed_in(disturbed, stage, rng):  # it was faster: let it begin anew
                    shutil.rmtree(disturbed.folder / "data" / stage.replace("@", "/"))
        results = disturbed.dvc("repro", *TARGETS), undisturbed.result()
    for result in results:
        assert result.code == 0, result.output
    ours, theirs = (workspace.artefacts("data", "models") for workspace in (disturbed, whole))
    ignored = {path for path in ours if path.endswith(".gitignore")}  # dvc's, in the order of its runs
    assert set(ours) == set(theirs)
    assert [path for path in set(ours) - ignored if ours[path] != theirs[path]] == []
    assert disturbed.lock() == whole.lock()


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
    by_scene = not stage.startswith(("capability", "training"))

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
