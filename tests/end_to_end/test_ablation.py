"""`make ablation` on a miniature world: through DVC's queue, beside the workspace."""

import os
import re
import subprocess
import sys

import pytest

from tests.end_to_end.workspace import ROOT, Workspace


@pytest.mark.slow
def test_the_ablation_is_an_experiment_that_leaves_the_workspace_alone(tmp_path):
    workspace = Workspace.create(tmp_path / "project")
    workspace.set({"distillation": {"objectives": ["superpoint"]}})
    result = workspace.dvc("repro")
    assert result.code == 0 and "distillation@pixel" not in result.output, result.output
    before = {name: (workspace.folder / name).read_bytes() for name in ("params.yaml", "dvc.lock")}
    for _ in range(2):  # the second replaces the first
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.ablation"],
            cwd=workspace.folder,
            env=workspace.environment
            | {"PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, done.stdout
    assert {name: (workspace.folder / name).read_bytes() for name in before} == before
    text = (workspace.folder / "reports/ablation.md").read_text()
    rows = re.findall(r"^\| ([^|]+) \| +(\d+\.\d) \|", text, re.MULTILINE)
    assert [name for name, _ in rows] == [
        "2D model dense", "2D model mask", "add", "linear", "capability fusion", "pixel distillation",
        "superpoint distillation", "temporal ensembling",
    ]  # fmt: skip
    assert workspace.dvc("exp", "show", "--csv").output.count("table-3") == 1
