import numpy as np
import pytest

from anyscene.errors import TrainingError
from anyscene.learning.engine.history import History


def test_what_a_checkpoint_names_is_never_written_again(tmp_path):
    history = History(tmp_path)
    history["a"], history["b"] = np.full((3, 2), 1.0), np.full((4, 2), 2.0)
    frozen = history.freeze()
    history["a"] = np.full((3, 2), 5.0)
    history["a"] = np.full((3, 2), 6.0)  # in place: its file is not frozen
    assert history["a"].tolist() == np.full((3, 2), 6.0).tolist()
    assert len(list(tmp_path.iterdir())) == 3
    again = History(tmp_path)
    again.restore(frozen)
    assert again["a"].tolist() == np.full((3, 2), 1.0).tolist()
    assert again["b"].tolist() == np.full((4, 2), 2.0).tolist()


def test_files_go_when_nothing_names_them(tmp_path):
    history, other = History(tmp_path), History(tmp_path)
    other["c"] = np.ones((1, 1))
    for value in range(5):
        history["a.b"] = np.full((2, 2), value)
        history.freeze()
        history.prune()
    assert len(list(tmp_path.iterdir())) == 2  # that of the other process stays
    assert history["a.b"].tolist() == np.full((2, 2), 4.0).tolist()
    assert list(history.freeze()) == ["a.b"]


def test_a_restored_history_goes_on_in_new_files(tmp_path):
    history = History(tmp_path)
    history["a"] = np.zeros((2, 2))
    frozen = history.freeze()
    again = History(tmp_path)
    again.restore(frozen)
    again["a"] = np.ones((2, 2))
    assert np.load(tmp_path / frozen["a"][0]).max() == 0
    assert again.freeze() != frozen


@pytest.mark.parametrize("damage", ["lost", "short", "altered"])
def test_missing_and_damaged_files_are_named(tmp_path, damage):
    history = History(tmp_path / "history")
    history["a"] = np.zeros((2, 2))
    frozen = history.freeze()
    file = tmp_path / "history" / frozen["a"][0]
    content = file.read_bytes()
    file.unlink()
    if damage != "lost":
        file.write_bytes(content[:-1] + b"\1" if damage == "altered" else content[:-1])
    with pytest.raises(TrainingError, match=r"a\.0\.npy: the history of a cannot be read"):
        History(tmp_path / "history").restore(frozen)
