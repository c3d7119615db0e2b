"""What `anyscene predict` asks of a network."""

import re

import numpy as np
import pytest
from plyfile import PlyData
from typer.testing import CliRunner

import anyscene
from anyscene.cli import predict
from anyscene.datasets import label_set, ply
from anyscene.project import progress
from anyscene.tasks import sources
from tests.builders import miniature
from tests.builders.capture import write_scan


class Asked:
    """A network that notes over how many turns it answers, and says the first class."""

    def __init__(self):
        self.turns = []

    def closest(self, cloud, text, turns):
        self.turns.append(turns)
        return np.zeros(len(cloud.xyz), np.int64)


@pytest.fixture
def asked(monkeypatch, tmp_path):
    network, classes = Asked(), len(label_set("scannet20").prompts)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sources, "check", lambda *given: None)
    monkeypatch.setattr(sources, "network", lambda *given: network)
    monkeypatch.setattr(predict, "load_text_encoder", lambda section: None)
    monkeypatch.setattr(predict, "embeddings", lambda *given: np.zeros((classes, 2), np.float32))
    side = np.array([[0, 0, 0], [4, 0, 0], [0, 3, 0], [4, 3, 0], [0, 0, 2.5]])
    ply.write_mesh(
        tmp_path / "room.ply", side, np.full((5, 3), 9, np.uint8), np.array([[0, 1, 2], [0, 1, 4]])
    )
    return network


@pytest.mark.parametrize(("given", "turns"), [((), 1), (("--turns", "2"), 2), (("--turns", "1000"), 1000)])
def test_answers_are_means_over_the_turns_that_are_asked_for(asked, given, turns):
    result = CliRunner().invoke(predict.app, ["room.ply", *given])
    assert result.exit_code == 0, result.output
    assert asked.turns == [turns]


def test_frames_of_a_scan_are_told_as_they_are_read(asked, tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "BRIEF", 0)
    write_scan(tmp_path / "scans", "room", frames=30, mesh=False, annotated=False)
    result = CliRunner().invoke(predict.app, ["scans/room"])
    assert result.exit_code == 0, result.output
    lines = result.stderr.splitlines()
    for label in ("frames read", "frames compared"):
        tenths = [line.split(",")[0] for line in lines if line.startswith(label)]
        assert tenths == [f"{label}: {done}/30" for done in range(3, 31, 3)]


def test_what_has_no_frames_has_no_such_lines(asked):
    assert not CliRunner().invoke(predict.app, ["room.ply"]).stderr


@pytest.mark.parametrize("turns", ["0", "-1", "1001", str(2**64)])
def test_turns_that_make_no_sense_are_refused(asked, turns):
    result = CliRunner().invoke(predict.app, ["room.ply", "--turns", turns])
    assert result.exit_code == 2 and "--turns" in result.output and not asked.turns


@pytest.fixture
def of_room(rooms, monkeypatch, tmp_path):
    """A function that predicts in the project `rooms`: (what the command said, the PLY that it wrote)."""
    monkeypatch.setattr(predict, "load_text_encoder", lambda section: miniature.Spelling())

    def run(*arguments):
        given = (*arguments, "--out", str(tmp_path / "labels.ply"), "--params", str(rooms / "params.yaml"))
        return CliRunner().invoke(predict.app, list(given)), tmp_path / "labels.ply"

    return run


def test_an_imported_scene_by_its_id(rooms, of_room):
    result, written = of_room("room0")
    assert result.exit_code == 0, result.output
    vertex = PlyData.read(written)["vertex"]
    room = anyscene.open("room0", project=rooms, encoder=miniature.Spelling())
    assert np.array_equal(np.column_stack([vertex[axis] for axis in "xyz"]), room.points)
    assert np.array_equal(vertex["label"], room.segment())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("room7",), "no such scene; imported are room0, room1; nor is there a file or a folder"),
        (("room0", "--scale", "2"), "room0 is imported already"),
        (("room0", "--source", "fusion"), "`anyscene export room0 --source fusion` writes the labels of"),
        (("room0", "--source", "nix"), "no features of nix: there are .*ensembled; give one, or the folder"),
        (("room0", "--class", "bed", "--labels", "scannet20"), "--class and --labels both say"),
        (("room0", "--class", "bed", "--class", "Bed "), "'bed' and 'Bed ' are one"),
        (("room0", "--class", ""), "an empty text means nothing"),
    ],
)
def test_what_cannot_be_predicted_is_said(of_room, given, said):
    result, written = of_room(*given)
    assert result.exit_code == 1 and re.search(said, result.stderr), result.output
    assert not written.exists()


def test_any_classes_in_any_words(rooms, of_room):
    result, written = of_room("room0", "--class", "bed", "--class", "a chair in a room")
    assert result.exit_code == 0, result.output
    room = anyscene.open("room0", project=rooms, encoder=miniature.Spelling())
    mesh = PlyData.read(written)
    assert np.array_equal(mesh["vertex"]["label"], room.segment(["bed", "a chair in a room"]))
    assert {0, 1} == set(mesh["vertex"]["label"].tolist())
    assert mesh.comments == ["label 0 bed", "label 1 a chair in a room"]
    assert "1 a chair in a room" in result.output
