"""What is read as a measured capability, and what is refused."""

import json

import pytest

from anyscene.capability import measured
from anyscene.errors import StoreError

VOCABULARY = ("bed", "wall")


def write(folder, **changes):
    content = {"vocabulary": ["wall", "bed"], "capability": [0.25, 1.0]} | changes
    (folder / "dense.json").write_text(json.dumps(content))


def test_it_is_in_the_order_of_the_vocabulary(tmp_path):
    assert measured.read(tmp_path, "dense", VOCABULARY) is None
    write(tmp_path)
    assert measured.read(tmp_path, "dense", VOCABULARY).tolist() == [1.0, 0.25]


@pytest.mark.parametrize(
    "changes",
    [
        {"capability": [0.25, 1.5]},
        {"capability": [-0.1, 1.0]},
        {"capability": [float("nan"), 1.0]},
        {"capability": [0.25]},
        {"capability": [0.25, "x"]},
        {"capability": None},
        {"vocabulary": ["wall", "chair"]},
    ],
)
def test_what_is_none_is_refused_by_name(tmp_path, changes):
    write(tmp_path, **changes)
    with pytest.raises(StoreError, match=r"dense\.json: not the capability .* run the stage capability"):
        measured.read(tmp_path, "dense", VOCABULARY)
