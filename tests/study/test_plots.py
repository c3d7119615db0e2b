"""What `dvc plots` draws from the tables that an evaluation writes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import yaml

from tests.builders import REPOSITORY
from tests.builders.workspace import Workspace


def test_dvc_draws_the_loss_of_every_network_without_knowing_one(tmp_path):
    plots = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["plots"]
    (losses,) = (plot for plot in plots if "losses" in plot)
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"plots": [losses]}))
    shutil.copytree(REPOSITORY / ".dvc/plots", tmp_path / ".dvc/plots")
    shutil.copy(REPOSITORY / ".dvc/config", tmp_path / ".dvc/config")
    table = "network,step,loss\nfirst,0,3.0\nsecond,0,2.0\nsecond,1,1.0\n"
    (tmp_path / "reports/plots").mkdir(parents=True)
    (tmp_path / "reports/plots/losses.csv").write_text(table)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    result = Workspace(tmp_path).dvc("plots", "show")
    assert result.code == 0, result.output
    page = (tmp_path / "dvc_plots/index.html").read_text()
    spec = json.loads(re.search(r"var spec = (\{.*\});", page).group(1))
    assert [(each["network"], each["loss"]) for each in spec["data"]["values"]] == [
        ("first", "3.0"),
        ("second", "2.0"),
        ("second", "1.0"),
    ]
    assert spec["encoding"]["color"]["field"] == "network"
    assert (spec["encoding"]["x"]["field"], spec["encoding"]["y"]["field"]) == ("step", "loss")
