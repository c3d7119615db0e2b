"""What `anyscene predict` asks of a network."""

import numpy as np
import pytest
from typer.testing import CliRunner

from anyscene.cli import predict
from anyscene.datasets import label_set, ply
from anyscene.tasks import sources
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


def test_frames_of_a_scan_are_told_as_they_are_read(asked, tmp_path):
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
