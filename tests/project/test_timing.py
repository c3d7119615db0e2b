"""How long a stage took is kept, whether it ended well or not, and never by chance."""

from __future__ import annotations

import json
import os
import time

import pytest
import typer
from typer.testing import CliRunner

from anyscene.cli.command import command
from anyscene.errors import ScenesFailed
from anyscene.project import layout, timing


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty working folder, outside any run of dvc."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_STAGE", raising=False)
    return tmp_path


def test_the_time_of_a_block_is_kept_with_its_note(folder):
    with timing.recorded("projection@dense", time.monotonic() - 5000) as note:
        note("3 computed")
        note(None)
    (found,) = timing.read(folder)
    assert found.stage == "projection@dense" and found.finished and found.note == "3 computed"
    assert 5000 <= found.seconds < 5100 and abs(found.ended.timestamp() - time.time()) < 100


def test_a_failure_is_kept_with_its_first_line_and_goes_on(folder):
    with pytest.raises(ScenesFailed), timing.recorded("fusion"):
        raise ScenesFailed({"room0": "no pose"}, 2)
    (found,) = timing.read(folder)
    assert not found.finished and found.note.startswith("1 of 2 scenes failed") and "room0" not in found.note


def test_the_last_run_counts_and_damaged_records_do_not(folder):
    for seconds in (100, 50):
        with timing.recorded("fusion", time.monotonic() - seconds):
            pass
    with timing.recorded("pipelines/dvc.yaml:scenes"):  # as DVC names a stage of another folder
        pass
    (folder / layout.TIMES / "half.json").write_text('{"stage": "ha')
    (folder / layout.TIMES / "other.json").write_text('{"stage": "other"}')
    os.utime(folder / layout.TIMES / "fusion.json", (1, 1))
    assert [(found.stage, round(found.seconds / 10)) for found in timing.read(folder)] == [
        ("fusion", 5),
        ("pipelines/dvc.yaml:scenes", 0),
    ]


def test_what_cannot_be_written_is_not_worth_an_error(folder):
    (folder / ".cache").write_text("a file")
    with timing.recorded("fusion"):
        pass
    assert timing.read(folder) == []


def test_commands_are_timed_where_dvc_runs_them_and_nowhere_else(folder, monkeypatch):
    def main(number: int) -> str:
        """Say something."""
        if number == 0:
            raise ScenesFailed({"room0": "no pose"}, 1)
        return f"{number} computed"

    app = command(main)
    assert isinstance(app, typer.Typer) and CliRunner().invoke(app, ["2"]).exit_code == 0
    assert timing.read(folder) == [] and list(folder.iterdir()) == []
    monkeypatch.setenv("DVC_STAGE", "scenes")
    assert CliRunner().invoke(app, ["2"]).exit_code == 0
    record = json.loads((folder / layout.TIMES / "scenes.json").read_text())
    assert record["note"] == "2 computed" and record["seconds"] > 0
    result = CliRunner().invoke(app, ["0"])
    assert result.exit_code == 1 and "no pose" in result.output
    assert not timing.read(folder)[0].finished


def test_seconds_have_two_digits(tmp_path, monkeypatch):
    monkeypatch.setattr(timing.time, "monotonic", lambda: 11.23456)
    with timing.recorded("fusion", 10.0, tmp_path):
        pass
    assert json.loads((tmp_path / "fusion.json").read_text())["seconds"] == 1.23
