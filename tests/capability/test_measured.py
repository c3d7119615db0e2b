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
    ("changes", "why"),
    [
        ({"capability": [0.25, 1.5]}, r"a value is not in 0\.\.1"),
        ({"capability": [-0.1, 1.0]}, r"a value is not in 0\.\.1"),
        ({"capability": [float("nan"), 1.0]}, r"a value is not in 0\.\.1"),
        ({"capability": [0.25]}, "shorter"),
        ({"capability": [0.25, "x"]}, "float"),
        ({"capability": None}, "iterable"),
        ({"vocabulary": ["wall", "chair"]}, "'bed'"),
    ],
)
def test_what_is_none_is_refused_by_name(tmp_path, changes, why):
    write(tmp_path, **changes)
    wanted = rf"dense\.json: not the capability .*\(.*{why}.*\); run the stage capability"
    with pytest.raises(StoreError, match=wanted):
        measured.read(tmp_path, "dense", VOCABULARY)
