"""What `anyscene adopt` refuses, and what it hands to the stage."""

from __future__ import annotations

import shutil

import pytest
from typer.testing import CliRunner

from anyscene.cli import adopt
from anyscene.project import layout
from stages import superpoints
from tests.builders import REPOSITORY


@pytest.fixture
def clone(project, monkeypatch):
    """A project with the stages of the repository."""
    shutil.copytree(REPOSITORY / "stages", project.folder / "stages")
    return project


def run(*arguments):
    return CliRunner().invoke(adopt.app, arguments)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nonsense"], "nonsense: no such stage; there are "),
        (["projection"], "projection runs for each of dense, mask; name one"),
        (["projection", "lseg"], "projection runs for each of dense, mask; name one"),
        (["fusion", "dense"], "fusion has no items"),
        (["report"], "report works neither by scenes nor by steps; run it again"),
    ],
)
def test_what_cannot_be_adopted(clone, arguments, said):
    result = run(*arguments)
    assert result.exit_code == 1 and said in " ".join(result.stderr.split())


def test_a_stage_is_told_how_many_scenes_to_compare(clone, monkeypatch):
    told = []
    monkeypatch.setattr(superpoints, "superpoints", lambda params, fresh: told.append((params, fresh)))
    layout.SUPERPOINTS.mkdir(parents=True)
    result = run("superpoints", "--check", "7", "--seed", "3")
    assert result.exit_code == 0, result.output
    ((params, fresh),) = told
    assert params == clone.params and (fresh.check, fresh.seed) == (7, 3)
    assert layout.index(layout.SUPERPOINTS).is_file()  # of artefacts whose attributes are others now
