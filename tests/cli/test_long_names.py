"""A name that is longer than file systems take ends every command in one line, wherever it is given."""

from __future__ import annotations

import enum
import os
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from anyscene.cli import main
from docs.reference import write
from tests.builders import REPOSITORY

pytestmark = pytest.mark.integration
LONG = "n" * 300
COMMANDS = {
    words: write.taken(function) for name in main.TOOLS for words, function in write.commands(name).items()
}


def given(one, name):
    """What a command is given for an argument or an option."""
    value = name if one.kind is not Path else f"{name}.ply"
    if isinstance(one.kind, type) and issubclass(one.kind, enum.Enum):
        value = next(iter(one.kind)).value
    return [value] if one.argument else [next(form for form in one.names if form.startswith("--")), value]


def named(one):
    return "str" in str(one.kind) or "Path" in str(one.kind)


CASES = [
    pytest.param(words, place, id=f"{words} {one.names[0]}")
    for words, takes in COMMANDS.items()
    for place, one in enumerate(takes)
    if named(one)
]


@pytest.mark.parametrize(("words", "place"), CASES)
def test_a_long_name_is_said_in_one_line(words, place, monkeypatch, tmp_path):
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(REPOSITORY / name, tmp_path)
    (tmp_path / "stages").symlink_to(REPOSITORY / "stages")
    monkeypatch.chdir(tmp_path)
    before = sorted(os.listdir())
    line = words.split()
    for number, one in enumerate(COMMANDS[words]):
        if number == place or one.required:
            line += given(one, LONG if number == place else "x")
    result = CliRunner().invoke(main.app, line)
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code in (1, 2), result.output
    if result.exit_code == 1:
        assert result.stderr.count("\n") == 1, result.stderr
    assert sorted(os.listdir()) == before
