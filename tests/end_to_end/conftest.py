"""What several tests begin with: computed once."""

import pytest

from tests.builders.workspace import Workspace

TARGETS = ("fusion", "labels")


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A workspace in which everything up to fusion is computed. Tests work on copies."""
    workspace = Workspace.create(tmp_path_factory.mktemp("project"))
    result = workspace.dvc("repro", *TARGETS)
    assert result.code == 0, result.output
    return workspace


@pytest.fixture
def workspace(finished, tmp_path):
    return finished.copy(tmp_path / "copy")
