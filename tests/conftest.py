"""What tests of every room begin with."""

import pytest

from tests.builders.project import Project


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project in the current folder: params.yaml alone. Its stages run in this process, on the CPU."""
    monkeypatch.chdir(tmp_path)
    return Project.create(tmp_path)
