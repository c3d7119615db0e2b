"""What several tests begin with: computed once."""

import os

import pytest
from filelock import FileLock

from tests.builders.workspace import FINISHED, Workspace


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A workspace in which everything up to fusion is computed, once for all processes that run tests. Tests
    work on copies."""
    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    workspace, done = Workspace(folder / "finished"), folder / "finished.done"
    with FileLock(folder / "finished.lock"):
        if not done.exists():
            Workspace.create(workspace.folder)
            result = workspace.dvc("repro", *FINISHED)
            assert result.code == 0, result.output
            done.touch()
    return workspace


@pytest.fixture
def workspace(finished, tmp_path):
    return finished.copy(tmp_path / "copy")
