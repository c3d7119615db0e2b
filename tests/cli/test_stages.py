import json

from typer.testing import CliRunner

from anyscene.cli import main
from anyscene.project import console


def test_paths_are_shown_whole(monkeypatch):
    piped = CliRunner().invoke(main.app, ["stages"]).stdout
    monkeypatch.setattr(console.Console, "is_terminal", True)
    monkeypatch.setenv("COLUMNS", "60")
    narrow = CliRunner().invoke(main.app, ["stages"]).stdout
    assert "data/capability/${item.model}.json" in piped and "…" not in piped + narrow


def test_stages_as_json():
    records = {
        one["name"]: one for one in json.loads(CliRunner().invoke(main.app, ["stages", "--json"]).stdout)
    }
    assert list(records) == list(main.stages())
    assert (
        "data/fusion" in records["fusion"]["writes"] and records["projection"]["each"] == "segmenters.names"
    )
