import json

from typer.testing import CliRunner

from anyscene.cli import main


def test_stages_as_json():
    records = {
        one["name"]: one for one in json.loads(CliRunner().invoke(main.app, ["stages", "--json"]).stdout)
    }
    assert list(records) == list(main.stages())
    assert (
        "data/fusion" in records["fusion"]["writes"] and records["projection"]["each"] == "segmenters.names"
    )
