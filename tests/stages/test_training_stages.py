"""The training stages and their commands on a world of three small rooms."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
import yaml
from plyfile import PlyData
from typer.testing import CliRunner

from anyscene import networks
from anyscene.cli import predict, query
from anyscene.learning.engine import curve
from anyscene.project import store
from stages import distillation, ensembling
from tests.builders import REPOSITORY, miniature, training_rooms
from tests.builders.capture import write_scan

TEXT_WIDTH = 384


def run(app, *arguments: str):
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project folder after distillation (both objectives) and ensembling."""
    folder = tmp_path_factory.mktemp("project")
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    params["network"] |= {"variant": "14A", "width": 0.25, "voxel": 0.15}
    params["distillation"] |= {"initial": None, "batch_norm": "own", "steps": 3, "batch": 2, "warmup": 1}
    params["ensembling"] |= {"steps": 2, "batch": 2}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    _, _, fusion = training_rooms.write(folder / "data", range(3))
    for scene in store.scene_ids(fusion):  # features as wide as the text encoder's
        group = store.open_scene(store.scene_path(fusion, scene))
        arrays = {
            name: group[name][:] for name in ("feature", "valid", "superpoint_feature", "superpoint_valid")
        }
        shutil.rmtree(store.scene_path(fusion, scene))
        group = store.create(store.scene_path(fusion, scene), "key")
        for name, array in arrays.items():
            wide = np.pad(array, ((0, 0), (0, TEXT_WIDTH - array.shape[1]))) if array.ndim == 2 else array
            store.write(group, name, wide)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for objective in ("superpoint", "pixel"):
            assert run(distillation.app, objective).exit_code == 0
        assert run(ensembling.app).exit_code == 0
    return folder


def test_networks_are_written_with_their_curves(project):
    for name, objective in (
        ("distillation/superpoint", "superpoint"),
        ("distillation/pixel", "pixel"),
        ("ensembling", "ensembling"),
    ):
        folder = project / "models" / name
        assert {path.name for path in folder.iterdir()} == {"model.safetensors", "network.json", "curves"}
        meta = json.loads((folder / "network.json").read_text())
        assert (meta["objective"], meta["voxel"], meta["backend"]) == (objective, 0.15, "torch")
        steps, losses = curve.read(folder)
        assert steps.tolist() == list(range(2 if name == "ensembling" else 3))
        assert (losses > 0).all()
    assert not list((project / ".cache" / "training").rglob("*.*"))  # finished: no checkpoints


def test_training_goes_on_from_given_weights(project, monkeypatch, tmp_path):
    """With a learning rate of zero the network stays the one it started from."""
    trained = project / "models" / "distillation" / "superpoint"
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["distillation"] |= {"initial": str(trained / "model.safetensors"), "steps": 1, "warmup": 0}
    params["distillation"] |= {"learning_rate": 0.0, "final_learning_rate": 0.0}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    (tmp_path / "data").symlink_to(project / "data")
    monkeypatch.chdir(tmp_path)
    assert run(distillation.app, "superpoint").exit_code == 0
    before, _ = networks.load(trained)
    after, _ = networks.load(tmp_path / "models" / "distillation" / "superpoint")
    for (name, old), new in zip(before.named_parameters(), after.parameters(), strict=True):
        assert torch.equal(old, new), name


def test_weights_of_another_network_are_refused(project, monkeypatch, tmp_path, capsys):
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["distillation"]["initial"] = str(REPOSITORY / "models/demo/student/model.safetensors")
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    (tmp_path / "data").symlink_to(project / "data")
    monkeypatch.chdir(tmp_path)
    result = run(distillation.app, "superpoint")
    assert result.exit_code == 1
    assert "distillation.initial: null" in " ".join((result.output + result.stderr).split())


@pytest.mark.parametrize(
    ("initial", "message"),
    [
        ("none.safetensors", "distillation.initial: none.safetensors is not there"),
        ("known/model.safetensors", "was trained with network.voxel 0.3, not 0.15"),
        ("broken/model.safetensors", "broken/network.json: not the description of a network"),
    ],
)
def test_weights_that_do_not_fit_the_input_are_refused(project, monkeypatch, tmp_path, initial, message):
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["distillation"]["initial"] = initial
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    (tmp_path / "data").symlink_to(project / "data")
    shutil.copytree(project / "models/distillation/superpoint", tmp_path / "known")
    description = tmp_path / "known" / "network.json"
    description.write_text(description.read_text().replace('"voxel": 0.15', '"voxel": 0.3'))
    shutil.copytree(tmp_path / "known", tmp_path / "broken")
    (tmp_path / "broken" / "network.json").write_text("{")
    monkeypatch.chdir(tmp_path)
    result = run(distillation.app, "superpoint")
    assert result.exit_code == 1
    assert message in " ".join((result.output + result.stderr).split())


@pytest.mark.parametrize("stage", [("distillation", "superpoint"), ("ensembling",)])
def test_two_processes_give_the_curve_of_one(project, tmp_path, stage):
    """The same command under torchrun, over gloo, half the batch each."""
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["network"] |= {"precision": "float32"}
    # gently: in float32 Adam makes whole steps of rounding errors (tests/learning/test_processes.py has none)
    params["distillation"] |= {"batch_norm": "shared", "steps": 6, "learning_rate": 5e-4}
    params["ensembling"] |= {"batch_norm": "shared", "steps": 6, "start": "code", "loss": "paper"}
    curves = []
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        folder.mkdir()
        (folder / "params.yaml").write_text(yaml.safe_dump(params))
        (folder / "data").symlink_to(project / "data")
        shutil.copytree(project / "models", folder / "models")
        student = folder / "models/distillation/superpoint/network.json"
        student.write_text(student.read_text().replace("bfloat16", "float32"))
        launcher = ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m"]
        subprocess.run(
            [sys.executable, "-m", *(launcher if processes > 1 else ()), f"stages.{stage[0]}", *stage[1:]],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
            check=True,
        )
        model = folder / "models" / "/".join(stage)
        curves.append(curve.read(model)[1])
        assert (model / "model.safetensors").is_file()
    assert len(curves[0]) == 6
    assert np.abs(curves[0] / curves[1] - 1).max() < 1e-4


def test_unknown_objective_is_refused(project, monkeypatch):
    monkeypatch.chdir(project)
    result = run(distillation.app, "voxel")
    assert result.exit_code == 1


def test_a_capture_is_labelled(project, monkeypatch, tmp_path):
    monkeypatch.chdir(project)
    scan = write_scan(tmp_path / "captures", "my_room")
    result = run(predict.app, str(scan), "--out", str(tmp_path / "labels.ply"))
    assert result.exit_code == 0, result.output
    mesh = PlyData.read(tmp_path / "labels.ply")
    source = PlyData.read(scan / "mesh.ply")
    assert np.array_equal(mesh["vertex"]["x"], source["vertex"]["x"])
    assert len(mesh["face"].data) == len(source["face"].data)
    assert set(mesh["vertex"]["label"]) <= set(range(20))
    assert f"{len(source['vertex'].data)} points" in result.output
    again = run(
        predict.app, str(scan), "--out", str(tmp_path / "again.ply"), "--labels",
        str(miniature.doubled(tmp_path / "several.csv")),
    )  # fmt: skip
    assert again.exit_code == 0, again.output
    assert np.array_equal(PlyData.read(tmp_path / "again.ply")["vertex"]["label"], mesh["vertex"]["label"])


def test_a_text_is_found(project, monkeypatch, tmp_path):
    monkeypatch.chdir(project)
    result = run(query.app, "room0", "somewhere to sit", "--out", str(tmp_path / "heat.ply"))
    assert result.exit_code == 0, result.output
    similarity = PlyData.read(tmp_path / "heat.ply")["vertex"]["similarity"]
    assert len(similarity) == len(training_rooms.room(0)[0].xyz)
    assert -1 <= similarity.min() < similarity.max() <= 1
