"""What is exported, as independent readers see it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from plyfile import PlyData
from typer.testing import CliRunner

from anyscene import datasets
from anyscene.cli import export as stage
from anyscene.errors import OutputError, StoreError
from anyscene.project import parameters, store
from anyscene.project.layout import Artefacts
from anyscene.show import export
from anyscene.tasks.features import Features
from anyscene.tasks.layer import NEUTRAL
from anyscene.tasks.surface import Surface
from anyscene.text import embeddings
from tests.builders import miniature

NAMES = datasets.label_set("scannet20").names


@pytest.fixture(autouse=True)
def light_text(monkeypatch):
    monkeypatch.setattr(stage, "load_text_encoder", lambda section: miniature.Spelling())


@pytest.fixture
def stored(rooms):
    """Arrays of the scene as the pipeline's stages wrote them, by stage."""
    stages = ("scenes", "superpoints", "fusion", "labels")
    return {name: store.open_scene(rooms / f"data/{name}/room0.zarr") for name in stages}


@pytest.fixture
def label(stored):
    """The expected label of each point, by hand."""
    feature, valid = stored["fusion"]["feature"][:].astype(np.float32), stored["fusion"]["valid"][:]
    text = embeddings(miniature.Spelling(), datasets.label_set("scannet20").prompts)
    return np.array(
        [(row @ text.T).argmax() if seen else -1 for row, seen in zip(feature, valid, strict=True)]
    )


def read(rooms, scene, *arguments):
    return next(export.read(Artefacts(rooms), [scene], *arguments))


def run(rooms, form: str, out: Path, *arguments: str):
    asked = ("room0", "--format", form, "--out", str(out), "--source", "fusion", *arguments)
    result = CliRunner().invoke(stage.app, [*asked, "--params", str(rooms / "params.yaml")])
    assert result.exit_code == 0, result.output
    return result


def test_ply_with_labels(rooms, stored, label, tmp_path):
    out = tmp_path / "new/folder/labels.ply"
    assert str(out) in run(rooms, "ply", out).output.replace("\n", "")
    content = PlyData.read(out)
    vertex = content["vertex"]
    assert np.array_equal(np.column_stack([vertex[axis] for axis in "xyz"]), stored["scenes"]["xyz"][:])
    assert np.array_equal(vertex["label"], label) and (label == -1).any() and (label == 3).any()
    assert np.array_equal(vertex["superpoint"], stored["superpoints"]["superpoint"][:])
    assert content.comments == [f"label {index} {name}" for index, name in enumerate(NAMES)]
    rgb = np.column_stack([vertex[name] for name in ("red", "green", "blue")])
    assert (rgb[label == 3] == datasets.label_set("scannet20").colours[3]).all()
    assert (rgb[label == -1] == NEUTRAL).all()


def test_label_of_a_class_with_several_prompts(rooms, label, tmp_path):
    settings = parameters.load(rooms / "params.yaml")
    several = replace(settings.dataset, label_set=str(miniature.doubled(tmp_path / "several.csv")))
    result = read(rooms, "room0", replace(settings, dataset=several), miniature.Spelling(), "fusion")
    assert np.array_equal(result.prediction, label)


def test_ply_keeps_the_mesh(tmp_path):
    face = np.array([[0, 1, 2], [2, 3, 4]], np.int32)
    colour = np.arange(15, dtype=np.uint8).reshape(5, 3)
    label_set = datasets.label_set("scannet20")
    xyz = np.arange(15, dtype=np.float32).reshape(5, 3) ** 2
    surface = Surface("a", xyz, colour, xyz, face, np.arange(5, dtype=np.int32))
    features = Features("fusion", "fused", np.zeros((5, 4), np.float32), None, np.ones(5, bool))
    result = export.Result(surface, features, np.array([0, 1, 2, 3, 19], np.int16), label_set, None)
    mesh = trimesh.load(export.write_ply(result, tmp_path / "mesh.ply"), process=False)
    assert np.array_equal(mesh.faces, face) and np.array_equal(mesh.vertices.astype(np.float32), xyz)
    assert np.array_equal(mesh.visual.vertex_colors[:, :3], label_set.colours[result.prediction])


def test_pointcept_folder(rooms, stored, label, tmp_path):
    said = run(rooms, "pointcept", tmp_path / "val").output
    assert "segment.npy and instance.npy are annotation" in said
    folder = tmp_path / "val/room0"
    found = {file.stem: np.load(file, allow_pickle=False) for file in folder.iterdir()}
    scenes, count = stored["scenes"], len(label)
    expected = {
        "coord": scenes["xyz"][:],
        "color": scenes["rgb"][:],
        "normal": scenes["normal"][:],
        "segment": stored["labels"]["label"][:].astype(np.int32),
        "segment20": stored["labels"]["label"][:].astype(np.int32),  # what ScanNetDataset reads
        "instance": stored["labels"]["instance"][:],
        "prediction": label.astype(np.int32),
        "feature": stored["fusion"]["feature"][:],
        "valid": stored["fusion"]["valid"][:],
    }
    assert set(found) == set(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype and np.array_equal(found[name], array), name
    assert found["coord"].shape == (count, 3) and found["segment"].shape == (count,)
    assert not np.array_equal(found["segment"], found["prediction"])


def test_pointcept_without_annotation_has_predictions_alone(rooms, label, tmp_path):
    run(rooms, "pointcept", tmp_path)
    annotation = [tmp_path / f"room0/{name}.npy" for name in ("segment", "segment20", "instance")]
    assert all(file.is_file() for file in annotation)
    labels = rooms / "data/labels"
    labels.rename(rooms / "data/elsewhere")
    try:
        said = run(rooms, "pointcept", tmp_path).output
    finally:
        (rooms / "data/elsewhere").rename(labels)
    assert not any(file.exists() for file in annotation)
    assert np.array_equal(np.load(tmp_path / "room0/prediction.npy"), label)
    assert "no segment.npy" in said


def test_openscene_features(rooms, stored, tmp_path):
    run(rooms, "openscene", tmp_path)
    content = torch.load(tmp_path / "room0_0.pt", weights_only=True)
    assert list(content) == [
        "feat",
        "mask_full",
    ]  # FusedFeatureLoader takes more than two keys for its old form
    feature, valid = stored["fusion"]["feature"][:], stored["fusion"]["valid"][:]
    assert content["feat"].dtype == torch.float16 and content["mask_full"].dtype == torch.bool
    assert np.array_equal(content["mask_full"].numpy(), valid) and not valid.all()
    whole = torch.zeros(content["mask_full"].shape[0], content["feat"].shape[1], dtype=torch.float16)
    whole[content["mask_full"]] = content["feat"]  # as the loader spreads them over the scene
    assert np.array_equal(whole.numpy()[valid], feature[valid]) and (whole.numpy()[~valid] == 0).all()


def test_the_network_answers_for_every_point(rooms, tmp_path):
    result = read(rooms, "room0", parameters.load(rooms / "params.yaml"), miniature.Spelling())
    assert result.features.name == [*miniature.NETWORKS][-1]
    assert result.features.valid.all() and (result.prediction >= 0).all()


def test_unknown_scenes_are_named_with_the_known(rooms):
    with pytest.raises(StoreError, match="room7: no such scene; imported are room0"):
        read(rooms, "room7", parameters.load(rooms / "params.yaml"), miniature.Spelling())


def test_a_file_in_the_way_is_named(rooms, tmp_path):
    result = read(rooms, "room0", parameters.load(rooms / "params.yaml"), miniature.Spelling(), "fusion")
    (tmp_path / "file").write_text("")
    for write, out in ((export.write_openscene, "file"), (export.write_ply, "file/a.ply")):
        with pytest.raises(OutputError, match="file: is a file, where a folder is to be"):
            write(result, tmp_path / out)
    with pytest.raises(OutputError, match=r"cannot be written \(Is a directory\)"):
        export.write_ply(result, tmp_path)


@pytest.fixture
def several(rooms, tmp_path):
    """A project with the scenes room0 of val and room1 of train, which has no annotation, and the folder to
    write to."""
    folder = tmp_path / "several"
    shutil.copytree(rooms, folder)
    store.note(folder / "data/scenes/room1.zarr", split="train")
    shutil.rmtree(folder / "data/labels/room1.zarr")
    return folder, tmp_path / "out"


def asked(several, *arguments):
    rooms, out = several
    given = (*arguments, "--out", str(out), "--params", str(rooms / "params.yaml"))
    return CliRunner().invoke(stage.app, given)


@pytest.mark.parametrize(
    "which, written",
    [
        (("room1", "room0", "room1"), ["room0.ply", "room1.ply"]),
        (("--all",), ["room0.ply", "room1.ply"]),
        (("--split", "train"), ["room1.ply"]),
    ],
)
def test_several_scenes_in_one_process(several, monkeypatch, which, written):
    loaded = []
    network = export.sources.network
    monkeypatch.setattr(export.sources, "network", lambda *one: loaded.append(one) or network(*one))
    result = asked(several, *which)
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in several[1].iterdir()) == written
    assert len(loaded) == 1 and result.output.count("-> ") == len(written)
    alone = asked((several[0], several[1] / "alone.ply"), "room1")
    assert alone.exit_code == 0, alone.output
    assert (several[1] / "alone.ply").read_bytes() == (several[1] / "room1.ply").read_bytes()


def test_each_scene_has_its_own_folder_and_note(several):
    result = asked(several, "--all", "--format", "pointcept", "--source", "fusion")
    assert sorted(path.name for path in several[1].iterdir()) == ["room0", "room1"]
    assert (several[1] / "room0/segment.npy").is_file() and not (several[1] / "room1/segment.npy").exists()
    assert "segment.npy and instance.npy are annotation" in result.output
    assert "without annotation no segment.npy" in result.output


@pytest.mark.parametrize(
    "which, wrong",
    [
        ((), "say which scenes: by their ids, by --all, or by --split"),
        (("room0", "--all"), "say which scenes"),
        (("--all", "--split", "val"), "say which scenes"),
        (("--split", "test"), "data/scenes: no scene of the split test"),
        (("room0", "room7"), "room7: no such scene"),
    ],
)
def test_which_scenes_must_be_said(several, which, wrong):
    result = asked(several, *which)
    assert result.exit_code == 1 and wrong in result.output.replace("\n", " ")
    assert not several[1].exists()


def test_several_scenes_are_not_one_file(several):
    result = asked((several[0], several[1] / "a.ply"), "--all")
    assert result.exit_code == 1 and "do not fit into one file" in result.output
