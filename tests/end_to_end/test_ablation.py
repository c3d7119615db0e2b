"""`make ablation` through DVC's queue, on a pipeline of one stage that writes figures at once."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
import yaml

from tests.builders import REPOSITORY
from tests.builders.workspace import Workspace

pytestmark = pytest.mark.integration

STAGE = """
import json, yaml
from tests.builders import figures
training = yaml.safe_load(open("params.yaml"))["training"]
measured = {"dense": 26, "mask": 27, "add": 26.5, "linear": 27, "capability": 37, "distilled": 39}
if "pixel" in training:
    expected = {**training["distilled"], "kind": "pixel", "title": "pixel distillation"}
    assert training["pixel"] == expected, training
    measured["pixelwise"] = 38
metrics = figures.metrics(measured, best="mask", missing={"ensembled": "the network was not trained"})
json.dump(metrics, open("reports/metrics.json", "w"))
"""


@pytest.fixture
def untouched(tmp_path, monkeypatch):
    evaluation = {
        "cmd": "python stage.py",
        "params": ["training"],
        "outs": [{"reports/metrics.json": {"cache": False}}],
    }
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"evaluation": evaluation}}))
    (tmp_path / "stage.py").write_text(STAGE)
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports/.gitignore").touch()
    for name in ("params.yaml", ".dvc/config", ".dvc/.gitignore"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(REPOSITORY / name, tmp_path / name)
    untouched = Workspace(tmp_path)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    monkeypatch.setenv("PYTHONPATH", f"{REPOSITORY}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    result = untouched.dvc("repro")
    assert result.code == 0, result.output
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    for command in (["add", "-A"], [*identity, "commit", "-qm", "Start"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return untouched


@pytest.mark.slow
def test_the_ablation_is_an_experiment_that_leaves_the_workspace_alone(untouched):
    def content():
        names = ("params.yaml", "dvc.lock", "reports/metrics.json")
        return {name: (untouched.folder / name).read_bytes() for name in names}

    before = content()
    assert "pixelwise" not in json.loads(before["reports/metrics.json"])["semantic"]
    for _ in range(2):  # the second replaces the first
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.quality.ablation"],
            cwd=untouched.folder,
            env=untouched.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, done.stdout
    assert content() == before
    text = (untouched.folder / "reports/ablation.md").read_text()
    rows = re.findall(r"^\| ([^|]+) \| (\d+\.\d) \|", text, re.MULTILINE)
    assert ("pixel distillation", "38.0") in rows and len(rows) == 7
    assert untouched.dvc("exp", "list", "--name-only").output.split() == ["table-3"]
