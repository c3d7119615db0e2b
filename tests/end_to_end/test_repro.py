"""What dvc runs, and what it leaves alone."""

import json
import os
import re
import shutil

import pytest

from tests.builders.workspace import FINISHED

pytestmark = pytest.mark.integration

UNLABELLED = (
    "data/scenes",
    "data/superpoints",
    "data/projection",
    "data/synthesis",
    "data/capability",
    "data/fusion",
)


def test_all_stages_wrote_their_folder(finished):
    found = finished.artefacts("data")
    for folder in (*UNLABELLED, "data/labels"):
        assert any(path.startswith(f"{folder}/") for path in found), folder
    assert not any(".partial" in path for path in found)


def test_the_cache_is_no_second_copy(finished, tmp_path):
    """Where the file system has hard links, a file of the cache and that of the artefact are one."""
    (tmp_path / "one").touch()
    (tmp_path / "two").hardlink_to(tmp_path / "one")

    def bytes_of(*folders):
        files = [file for name in folders for file in (finished.folder / name).rglob("*") if file.is_file()]
        return sum({(s.st_dev, s.st_ino): s.st_size for s in map(os.stat, files)}.values())

    data = bytes_of("data", "models")
    assert data > 1e6 and bytes_of("data", "models", ".dvc/cache") <= 1.1 * data
    assert finished.damaged() == []


def test_second_repro_runs_nothing(finished):
    result = finished.dvc("repro", *FINISHED)
    assert result.code == 0 and result.stages == [], result.output


def test_a_deleted_scene_is_computed_alone(workspace):
    before = workspace.artefacts("data")
    scene = sorted((workspace.folder / "data/superpoints").glob("*.zarr"))[0]
    shutil.rmtree(scene)
    result = workspace.dvc("repro", *FINISHED)
    assert result.stages == ["superpoints"]
    assert re.search(r"superpoints: 1 computed, 2 unchanged, 0 removed", result.output)
    assert workspace.artefacts("data") == before


def test_another_tau_runs_fusion_alone(workspace):
    result = workspace.dvc("exp", "run", "-S", "fusion.tau=0.1", *FINISHED)
    assert result.code == 0 and result.stages == ["fusion"], result.output
    assert "fusion: 3 computed, 0 unchanged" in result.output
    assert workspace.damaged() == []  # nothing was written into what the cache shares


def test_a_changed_pose_costs_its_scene(workspace):
    scene = sorted(path for path in (workspace.folder / "data/world").iterdir() if (path / "pose").is_dir())[
        0
    ]
    pose = sorted((scene / "pose").iterdir())[0]
    rows = [[float(value) for value in line.split()] for line in pose.read_text().splitlines()]
    rows[0][3] += 0.01
    pose.write_text("".join(" ".join(map(repr, row)) + "\n" for row in rows))
    result = workspace.dvc("repro", "--single-item", "scenes")
    assert "scenes: 1 computed, 2 unchanged" in result.output
    result = workspace.dvc("repro", "--single-item", "projection@dense")
    assert "1 computed, 2 unchanged" in result.output


def test_nothing_but_labels_depends_on_the_annotation(finished, tmp_path):
    """Everything anew in a second clone, without ground truth: also shows that two runs give equal bytes."""
    clone = finished.clone(tmp_path / "clone")
    assert clone.dvc("repro", "world").code == 0
    for truth in (clone.folder / "data/world").glob("*/truth"):
        shutil.rmtree(truth)
    assert clone.dvc("freeze", "world").code == 0  # or dvc would bring the annotation back
    result = clone.dvc("repro", "fusion")
    assert result.code == 0 and "world" not in result.stages, result.output
    ours, theirs = clone.artefacts(*UNLABELLED), finished.artefacts(*UNLABELLED)
    assert set(ours) == set(theirs)
    assert [path for path in ours if ours[path] != theirs[path]] == []


def test_training_evaluation_and_report_follow(workspace):
    """And another network by an entry of params.yaml alone."""
    baseline = {"kind": "pixel", "title": "pixel distillation"}
    workspace.set({"training": {"pixelwise": workspace.params()["training"]["distilled"] | baseline}})
    result = workspace.dvc("repro")
    assert result.code == 0, result.output
    trained = ["training@distilled", "training@pixelwise", "training@ensembled"]
    assert sorted(result.stages) == sorted([*trained, "evaluation", "report"])
    assert (workspace.folder / "reports/index.html").stat().st_size > 1000
    metrics = json.loads((workspace.folder / "reports/metrics.json").read_text())
    assert {"dense", "mask", "capability", "distilled", "ensembled"} <= set(metrics["semantic"])
    assert "reports/summary.json" in workspace.dvc("metrics", "show").output
    plots = workspace.dvc("plots", "show")
    assert plots.code == 0 and "index.html" in plots.output
    assert workspace.dvc("repro").stages == []
    assert workspace.damaged() == []  # trainings, too, write files of their own


def test_another_learning_rate_trains_that_network(workspace):
    result = workspace.dvc("exp", "run", "-S", "training.distilled.learning_rate=2e-4", "training@distilled")
    assert result.code == 0 and result.stages == ["training@distilled"], result.output
    assert workspace.params()["training"]["distilled"]["learning_rate"] == 2e-4
    assert workspace.dvc("repro", "training@distilled").stages == []
