"""Predictions of another program, scored."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import anyscene
from anyscene.cli import score
from anyscene.project import store
from tests.builders import miniature

SET = anyscene.label_set("scannet20")


def run(*arguments):
    return CliRunner().invoke(score.app, [str(argument) for argument in arguments])


def refused(*arguments):
    result = run(*arguments)
    assert result.exit_code == 1, result.output
    return result.stderr


@pytest.fixture
def worked(tmp_path, monkeypatch):
    """Two scenes of eight points, of which one is not annotated, and one has no prediction:

    truth        wall wall wall wall | floor floor floor -
    prediction   wall wall floor -   | floor floor wall  bed
    """
    monkeypatch.chdir(tmp_path)
    for name in ("truth", "said"):
        (tmp_path / name).mkdir()
    (tmp_path / "truth/a.txt").write_text("1\n1\n1\n1\n")
    (tmp_path / "truth/b.txt").write_text("2\n2\n2\n0\n")
    (tmp_path / "said/a.txt").write_text("1\n1\n2\n0\n")
    np.save(tmp_path / "said/b_pred.npy", np.array([1, 1, 0, 3]))
    return tmp_path


def test_both_rules_for_points_without_a_prediction(worked):
    found = json.loads(run("said", "--truth", "truth", "--json").stdout)
    # wall: 2 right, 1 too many, 2 or 1 too few; floor: 2 right, 1 too many, 1 too few
    assert found["error"]["per_class"] == {"wall": 100 * 2 / 5, "floor": 100 * 2 / 4}
    assert found["ignore"]["per_class"] == {"wall": 100 * 2 / 4, "floor": 100 * 2 / 4}
    assert found["error"]["recall"] == {"wall": 50, "floor": pytest.approx(200 / 3)}
    assert found["ignore"]["mAcc"] == pytest.approx(200 / 3) and found["error"]["mIoU"] == 45
    assert (found["points"], found["unpredicted"]) == (7, 1)
    assert found["scenes"] == ["a", "b"] and found["left_out"] == []


def test_table(worked):
    result = run("said", "--truth", "truth")
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["wall", "40.0", "50.0", "50.0", "66.7"] in lines
    assert ["mean", "45.0", "58.3", "50.0", "66.7"] in lines
    assert "14.3 % of the points have no prediction" in result.stdout
    assert "not in these scenes" in result.stdout and "bed" in result.stdout
    (worked / "said/a.txt").write_text("1\n1\n2\n2\n")
    result = run("said", "--truth", "truth")
    assert ["wall", "40.0", "50.0"] in [line.split() for line in result.stdout.splitlines()]
    assert "no prediction" not in result.stdout


def test_splits_of_scannet200(worked):
    classes = anyscene.label_set("scannet200")
    rows = [classes.split.index(name) for name in ("head", "tail")]
    for folder, said in (("truth", rows), ("said", [rows[0], rows[0]])):
        for scene in ("a", "b"):
            for file in (worked / folder).glob(f"{scene}*"):
                file.unlink()
            np.save(worked / folder / f"{scene}.npy", np.array(said))
    result = run("said", "--truth", "truth", "--labels", "scannet200")
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["mean", "head", "50.0", "100.0"] in lines and ["mean", "tail", "0.0", "0.0"] in lines
    assert not any(line[:2] == ["mean", "common"] for line in lines)
    assert "198 classes (`absent` in --json)" in result.stdout


@pytest.fixture
def said(rooms, tmp_path, monkeypatch):
    """The folder of predictions of a project's scenes, by class, -1 without a feature."""
    monkeypatch.chdir(rooms)
    for scene in ("room0", "room1"):
        cloud = anyscene.open(scene, source="fusion", encoder=miniature.Spelling())
        np.save(tmp_path / f"{scene}.npy", cloud.segment())
    return tmp_path


def test_scenes_of_the_project(rooms, said):
    found = json.loads(run(said, "--json").stdout)
    labels = [store.open_scene(rooms / f"data/labels/room{n}.zarr")["label"][:] for n in (0, 1)]
    target, prediction = (
        np.concatenate(parts) for parts in (labels, [np.load(said / f"room{n}.npy") for n in (0, 1)])
    )
    for rule in ("error", "ignore"):
        expected = anyscene.evaluate(target, prediction, SET, unpredicted=rule)
        assert found[rule]["mIoU"] == expected.mIoU and found[rule]["per_class"] == expected.per_class
    assert found["unpredicted"] == np.count_nonzero((prediction < 0) & (target >= 0)) > 0


def test_what_is_refused(rooms, said):
    assert "project is annotated by scannet20, not by scannet200" in refused(said, "--labels", "scannet200")
    label = np.load(said / "room1.npy")
    np.save(said / "room1.npy", label[:-1])
    count = f"{len(label) - 1} predictions for the {len(label)} points of room1"
    assert f"room1.npy: {count}" in refused(said)
    (said / "room1.npy").rename(said / "room7.npy")
    assert "no prediction for room1; every annotated scene" in refused(said)
    np.save(said / "room1.npy", label)
    assert "room7: no scene that is known here" in refused(said)
    assert "nowhere: no such folder" in refused("nowhere")


def test_a_split_without_annotation_is_refused(rooms, said, tmp_path, monkeypatch):
    miniature.copy(rooms, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    for scene in Path("data/labels").glob("*.zarr"):
        shutil.rmtree(scene)
    wanted = "no scene of val is annotated; run `dvc repro labels`, or give annotation by --truth"
    assert wanted in " ".join(refused(said).split())


def test_scenes_of_another_split_are_left_out(rooms, said, tmp_path, monkeypatch):
    miniature.copy(rooms, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    store.note(Path("data/scenes/room1.zarr"), split="train")
    (tmp_path / "said").mkdir()
    for scene in ("room0", "room1"):
        shutil.copy(said / f"{scene}.npy", tmp_path / "said")
    result = run(tmp_path / "said")
    assert result.exit_code == 0 and "left out, not among the annotated scenes of the split: room1" in (
        result.stdout
    )
    assert json.loads(run(tmp_path / "said", "--json").stdout)["scenes"] == ["room0"]


def test_outside_a_project_annotation_is_asked_for(worked):
    assert "data/scenes: no scenes; run `dvc repro labels`, or give annotation by --truth" in refused("said")
    (worked / "truth/b.txt").write_text("0\n13\n0\n0\n")
    (worked / "truth/a.txt").unlink()
    (worked / "said/a.txt").unlink()
    assert "no point of b is annotated by a class of scannet20" in refused("said", "--truth", "truth")
