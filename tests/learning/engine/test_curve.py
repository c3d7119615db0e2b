import subprocess

import pytest

from anyscene.errors import TrainingError
from anyscene.learning.engine import curve as curves
from anyscene.learning.engine.curve import Curve


def test_curves_are_what_dvc_plots_reads(tmp_path):
    rows = [{"step": 0, "loss": 1.5, "rate": 0.1}, {"step": 1, "loss": 0.123456789, "rate": 0.05}]
    Curve(tmp_path).replay([*rows, {"step": 2, "loss": 9.0}])
    Curve(tmp_path).replay(rows)  # begins anew
    assert (tmp_path / "curves/plots/metrics/loss.tsv").read_text() == "step\tloss\n0\t1.5\n1\t0.123456789\n"
    assert [column.tolist() for column in curves.read(tmp_path, "rate")] == [[0, 1], [0.1, 0.05]]
    with pytest.raises(TrainingError, match=r"nothing\.tsv"):
        curves.read(tmp_path, "nothing")


def test_a_repository_without_a_commit_is_refused_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "--quiet"], check=True)
    with pytest.raises(
        TrainingError, match=r"models/net: DVCLive needs a commit .*`git commit --allow-empty"
    ):
        Curve(tmp_path / "models/net")
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", *who, "commit", "--quiet", "--allow-empty", "-m", "begin"], check=True)
    Curve(tmp_path / "models/net").add({"step": 0, "loss": 1.0})
