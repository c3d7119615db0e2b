"""A package outside the tree: its network is trained by dvc, its 2D model, reader and task take part, and no
file of the project is edited but params.yaml."""

import json
import os
import subprocess

import pytest

from tests.builders.outside import install

pytestmark = pytest.mark.integration

EVENED = {"kind": "evenness", "title": "evened network", "weight": 1.0, "steps": 2}
VIEW = """
import json, sys
from anyscene.project import parameters
from anyscene.project.layout import Artefacts
from anyscene.show.viewer.scene_view import SceneView
from anyscene.text import load_text_encoder

params = parameters.load()
view = SceneView(Artefacts(), sys.argv[1], params, load_text_encoder(params.text), "evened")
colours, found = view.colours("evened network"), view.ask("a chair")
shown = [len(colours) == len(view.drawn), "height" in view.layers, len(found.matches) > 0]
print(json.dumps([view.source, "evened network" in view.layers, *shown]))
"""
# keys of the settings of another objective
PASSED = ("points_per_scene", "points_per_process", "superpoint_mean", "align")


@pytest.fixture
def site(tmp_path):
    return install(tmp_path / "site")


def changed(workspace):
    """The files of the project that differ from those in Git."""
    command = ["git", "diff", "--name-only", "HEAD"]
    return subprocess.check_output(command, cwd=workspace.folder, text=True).splitlines()


def test_a_network_and_a_task_are_trained_scored_reported_and_asked(workspace, site):
    distilled = workspace.params()["training"]["distilled"]
    entry = {key: value for key, value in distilled.items() if key not in PASSED} | EVENED
    workspace.set({"training": {"evened": entry}})
    assert changed(workspace) == ["params.yaml"]
    result = workspace.dvc("repro", path=site)
    assert result.code == 0, result.output
    assert {"training@evened", "evaluation", "report"} <= set(result.stages)

    metrics = json.loads((workspace.folder / "reports/metrics.json").read_text())
    row = metrics["rows"]["evened"]
    assert row["kind"] == "evenness" and row["title"] == "evened network"
    assert metrics["semantic"]["evened"]["mIoU"] >= 0
    assert "evened" in metrics["tasks"]["height"] and metrics["tasks"]["height"]["evened"]["known"] == 1.0
    summary = json.loads((workspace.folder / "reports/summary.json").read_text())
    assert "evened" in summary["mIoU"]
    page = (workspace.folder / "reports/index.html").read_text()
    assert "evened network" in page and "height" in page
    assert "evened network" in workspace.run("-m", "stages.evaluation", "--show", path=site).output

    scene = metrics["scenes"][0]
    asked = workspace.run(
        "-m", "anyscene.cli.main", "query", scene, "a chair", "--source", "evened", path=site
    )
    assert asked.code == 0 and "evened" in asked.output, asked.output
    looked_at = workspace.run("-c", VIEW, scene, path=site)
    assert looked_at.code == 0, looked_at.output
    assert json.loads(looked_at.output.splitlines()[-1]) == ["evened", True, True, True, True]
    said = workspace.run("-m", "anyscene.cli.main", "--help", path=site).output
    assert all(name in said for name in ("evenness", "height", "brightness", "boxes"))
    assert sorted(path.name for path in (workspace.folder / "models").iterdir() if path.is_dir()) == [
        *("demo", "distilled", "ensembled", "evened"),
    ]


def test_a_reader_and_a_2d_model_carry_scans_to_fused_features(workspace, site):
    code = "import sys; from pathlib import Path; from outside_models import boxes\n"
    code += "for seed, name in enumerate(('attic', 'cellar')): boxes.write_scene(Path('raw', name), seed)"
    (workspace.folder / "raw").mkdir()
    assert workspace.run("-c", code, path=site).code == 0
    workspace.set(
        {
            "dataset": {"name": "boxes", "reader": "boxes", "root": "raw", "boxes": {"unit": 0.01}},
            "segmenters": {"names": ["brightness", "dense"], "brightness": {"dark": 0.4}},
            "projection": {"width": 32, "height": 24, "border": 0},
        }
    )
    assert changed(workspace) == ["params.yaml"]
    assert workspace.run("-m", "stages.scenes", "--replace", path=site).code == 0
    result = workspace.dvc("repro", "fusion", path=site)
    assert result.code == 0, result.output
    assert {"scenes", "projection@brightness", "capability@brightness", "fusion"} <= set(result.stages)
    assert sorted(os.listdir(workspace.folder / "data/projection/brightness")) == [
        "attic.zarr",
        "cellar.zarr",
    ]
    assert "synthesis" not in result.stages
