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

STAGE = """
import json, yaml
rows = {"dense": 26, "mask": 27, "add": 26.5, "linear": 27, "capability": 37, "superpoint_distillation": 39}
if "pixel" in yaml.safe_load(open("params.yaml"))["distillation"]["objectives"]:
    rows["pixel_distillation"] = 38
metrics = {
    "semantic": {row: dict.fromkeys(("mIoU", "mAcc", "f_mIoU", "f_mAcc"), v) for row, v in rows.items()},
    "bootstrap": {
        "rooms": 1, "best_single": "mask", "mIoU": {row: {"low": v, "high": v} for row, v in rows.items()}
    },
    "missing": {"ensembling": "the network was not trained"}, "split": "val", "label_set": "scannet20",
}
json.dump(metrics, open("reports/metrics.json", "w"))
"""


@pytest.fixture
def workspace(tmp_path):
    evaluation = {
        "cmd": "python stage.py",
        "params": ["distillation.objectives"],
        "outs": [{"reports/metrics.json": {"cache": False}}],
    }
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"evaluation": evaluation}}))
    (tmp_path / "stage.py").write_text(STAGE)
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports/.gitignore").touch()
    for name in ("params.yaml", ".dvc/config", ".dvc/.gitignore"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(REPOSITORY / name, tmp_path / name)
    workspace = Workspace(tmp_path)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    assert workspace.dvc("repro").code == 0
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    for command in (["add", "-A"], [*identity, "commit", "-qm", "Start"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return workspace


@pytest.mark.slow
def test_the_ablation_is_an_experiment_that_leaves_the_workspace_alone(workspace):
    def content():
        names = ("params.yaml", "dvc.lock", "reports/metrics.json")
        return {name: (workspace.folder / name).read_bytes() for name in names}

    before = content()
    assert "pixel_distillation" not in json.loads(before["reports/metrics.json"])["semantic"]
    path = f"{REPOSITORY}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    for _ in range(2):  # the second replaces the first
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.quality.ablation"],
            cwd=workspace.folder,
            env=workspace.environment | {"PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, done.stdout
    assert content() == before
    text = (workspace.folder / "reports/ablation.md").read_text()
    rows = re.findall(r"^\| ([^|]+) \| (\d+\.\d) \|", text, re.MULTILINE)
    assert ("pixel distillation", "38.0") in rows and len(rows) == 7
    assert workspace.dvc("exp", "list", "--name-only").output.split() == ["table-3"]
