"""The commands `evaluation` and `report` in a project's folder."""

from __future__ import annotations

import json

import pytest
from PIL import Image
from typer.testing import CliRunner

from anyscene.show.report import drawn_scene, run
from anyscene.study import ablation
from anyscene.study import evaluation as study
from stages import evaluation, report
from tests.builders import miniature

pytestmark = pytest.mark.integration


@pytest.fixture
def copied(rooms, tmp_path, monkeypatch):
    """A finished project as the current folder, with small pictures and no models to load."""
    miniature.copy(rooms, tmp_path)
    monkeypatch.chdir(tmp_path)
    for module in (ablation, run):
        monkeypatch.setattr(module, "load_text_encoder", lambda section: miniature.Spelling())
    monkeypatch.setattr(study, "load_segmenter", lambda name, params, captions: miniature.Painter(name))
    monkeypatch.setattr(drawn_scene, "SIZE", (80, 60))
    return tmp_path


def test_evaluation_writes_metrics_and_prints_them_again(copied):
    result = CliRunner().invoke(evaluation.app)
    assert result.exit_code == 0, result.output
    metrics = json.loads((copied / "reports/metrics.json").read_text())
    assert metrics["semantic"]["capability"]["mIoU"] > 0
    short = json.loads((copied / "reports/summary.json").read_text())
    assert short["mIoU"]["capability"] == round(metrics["semantic"]["capability"]["mIoU"], 2)
    plots = {path.name for path in (copied / "reports/plots").iterdir()}
    tables = {"rows.csv", "per_class.csv", "classes.csv", "capability.csv", "confusion.csv", "losses.csv"}
    assert plots == tables | {"confusion.json"}
    (copied / "params.yaml").unlink()  # --show reads nothing else
    shown = CliRunner().invoke(evaluation.app, ["--show"])
    table = result.output[result.output.index("scannet20, val") :]
    assert shown.exit_code == 0 and shown.output == table and "capability fusion" in table
    shown = CliRunner().invoke(evaluation.app, ["--show", "--json"])
    assert shown.exit_code == 0 and json.loads(shown.stdout) == metrics


def test_nothing_to_show_says_what_to_run(copied):
    result = CliRunner().invoke(evaluation.app, ["--show"])
    assert result.exit_code == 1 and "dvc repro" in result.output


def test_report_writes_one_page_and_says_where(copied):
    result = CliRunner().invoke(report.app)
    assert result.exit_code == 0, result.output
    text = (copied / "reports/index.html").read_text()
    assert text.startswith("<!doctype html>") and text.rstrip().endswith("</html>")
    assert "<th>evaluation</th><td>–</td>" in (copied / "reports/timings.html").read_text()
    assert "reports/index.html" in result.output.replace("\n", "")


def test_report_draws_one_scene(copied):
    result = CliRunner().invoke(report.app, ["--picture", "docs/room.png", "--scene", "room0"])
    assert result.exit_code == 0, result.output
    lines = 2  # colour, truth, two 2D models; fusion, two networks, errors
    assert Image.open(copied / "docs/room.png").size == (4 * 80 + 3 * 12, lines * (60 + 34 + 12) - 12)
