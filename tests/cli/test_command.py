"""A stage that Ctrl-C ends, in processes of its own."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest

from anyscene.project import layout, store
from tests.builders import REPOSITORY
from tests.builders.capture import write_scan

pytestmark = pytest.mark.integration

SCANS = 12


def wait_for(scenes, stage):
    """Return once `stage` has written so many scenes."""
    while not layout.SCENES.is_dir() or len(store.scene_ids(layout.SCENES)) < scenes:
        assert stage.poll() is None, stage.stderr.read()
        time.sleep(0.01)


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_ends_a_stage_with_a_line_and_the_same_command_goes_on(project, tmp_path, workers):
    for number in range(SCANS):
        write_scan(tmp_path / "scans", f"room{number}", frames=20, annotated=False)
    project.change(dataset={"root": str(tmp_path / "scans")}, runtime={"workers": workers})
    command = ("env", "--default-signal=INT", sys.executable, "-m", "stages.scenes")
    given = os.environ | {"PYTHONPATH": f"{REPOSITORY}{os.pathsep}{REPOSITORY / 'pipeline'}"}
    with subprocess.Popen(
        command, cwd=tmp_path, env=given, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as stage:
        wait_for(4, stage)  # of which two may not have been counted yet
        os.killpg(stage.pid, signal.SIGINT)  # as a terminal sends it, to workers too
        said = stage.stderr.read()
    last = said.splitlines()[-1]
    kept = re.fullmatch(r"stopped; (\d+) of 12 scenes to compute are kept; the same command goes on", last)
    assert kept and stage.returncode == 130 and "Traceback" not in said, said
    there = len(store.scene_ids(layout.SCENES))
    assert 2 <= int(kept[1]) <= there < SCANS
    again = subprocess.run(command, cwd=tmp_path, env=given, capture_output=True, text=True, check=True)
    assert f"scenes: {SCANS - there} computed, {there} unchanged, 0 removed" in again.stderr


def test_a_worker_that_has_nothing_to_do_ends_without_a_traceback(project, tmp_path):
    for name, frames in (("large", 300), ("small", 2)):
        write_scan(tmp_path / "scans", name, frames=frames, annotated=False)
    project.change(dataset={"root": str(tmp_path / "scans")}, runtime={"workers": 2})
    given = os.environ | {"PYTHONPATH": f"{REPOSITORY}{os.pathsep}{REPOSITORY / 'pipeline'}"}
    command = ("env", "--default-signal=INT", sys.executable, "-m", "stages.scenes")
    with subprocess.Popen(
        command, cwd=tmp_path, env=given, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as stage:
        wait_for(1, stage)
        os.killpg(stage.pid, signal.SIGINT)
        said = stage.stderr.read()
    # the one that is there may not have been counted yet
    assert re.fullmatch(r"stopped; [01] of 2 scenes to compute are kept; the same command goes on\n", said), (
        said
    )
