"""Whether what lies there is the training that is wanted, whole."""

import pytest
import torch

from anyscene.learning.engine import curve
from anyscene.learning.older import is_trained
from anyscene.networks import MinkUNet, save

MADE = {"by": "today's code"}


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    (tmp_path / curve.FOLDER).mkdir()
    (tmp_path / curve.FOLDER / "loss.csv").write_text("step,loss\n0,1.0\n")
    network = MinkUNet("14A", 3, 6, "torch", width=0.25)
    save(network, tmp_path, {"made": MADE, "curve": curve.digest(tmp_path)})
    return tmp_path


def test_a_whole_training_is_not_done_again(folder, capsys):
    assert is_trained(folder, MADE, "training mine") and capsys.readouterr().err == ""
    assert not is_trained(folder, {"by": "other code"}, "training mine") and capsys.readouterr().err == ""


@pytest.mark.parametrize("left", ["1.0\n2", None])
def test_a_curve_that_is_another_or_gone_begins_it_again(folder, capsys, left):
    file = folder / curve.FOLDER / "loss.csv"
    if left is None:
        file.unlink()
        file.parent.rmdir()
    else:
        file.write_text(left)
    assert not is_trained(folder, MADE, "training mine")
    said = capsys.readouterr().err
    assert f"training mine: {folder / curve.FOLDER}: not the curve that was written; it begins again" in said
