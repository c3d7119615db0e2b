"""What networks were trained on, beside what is scored."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from anyscene.datasets import raw_files
from anyscene.networks import checkpoint
from anyscene.networks.trained import Description
from anyscene.show.report import scores
from anyscene.study import trained_on
from anyscene.study.table import tables
from tests.builders import figures

LISTED = {
    name: raw_files.lines(raw_files.SPLITS / f"{name}.txt") for name in ("scannet_train", "nuscenes_val")
}


@pytest.fixture
def networks(tmp_path):
    """`second` began from `first`, and `first` from weights that are in no list."""

    def network(name, start, *scenes):
        (tmp_path / name).mkdir()
        checkpoint.note_scenes(tmp_path / name, scenes)
        return Description(name, name, "superpoint", start, False, "torch", tmp_path / name)

    return network("first", "demo/student", "a", "b"), network("second", "first", "c")


def test_the_scenes_of_what_a_network_began_from_are_in_its_weights(networks):
    first, second = networks
    assert trained_on.shown(first, networks) == {"a", "b"}
    assert trained_on.shown(second, networks) == {"a", "b", "c"}
    circle = (replace(first, start="second"), second)
    assert trained_on.shown(second, circle) == {"a", "b", "c"}


def test_where_scenes_are_not_noted_there_are_none(networks):
    (networks[0].folder / checkpoint.SCENES).unlink()
    assert checkpoint.noted_scenes(networks[0].folder) is None
    assert trained_on.shown(networks[0], networks) == frozenset()
    said = trained_on.section({"first": networks[0]}, ["a"], {"a": "val"})["first"]
    assert said["official"] is None and said["splits"] == {} and said["scored"] == []


@pytest.mark.parametrize(
    ("scored", "seen", "title"),
    [
        (["a", "b"], ["c"], "title"),
        ([], ["c"], "title"),
        (["a", "b"], ["b", "c"], "title (trained on 1 of these scenes)"),
        (["a", "b"], ["a", "b", "c"], "title (trained on these scenes)"),
    ],
)
def test_titles_say_what_was_trained_on(scored, seen, title):
    assert trained_on.marked("title", scored, seen) == title


def test_official_lists_are_recognised():
    assert trained_on.official(LISTED["scannet_train"]) == "scannet_train"
    assert trained_on.official(LISTED["scannet_train"][1:]) is None
    assert trained_on.official([]) is None
    keyframes = [f"{drive}_{k:02d}" for drive in LISTED["nuscenes_val"] for k in range(2)]
    assert trained_on.official(keyframes) == "nuscenes_val"


def test_what_a_network_is_stands_in_a_sentence():
    metrics = figures.metrics({"capability": 37.0, "distilled": 39.4, "ensembled": 41.6})
    metrics["bootstrap"]["difference"] = {
        "distilled - capability": {"value": 2.43, "low": -2.38, "high": 8.83},
        "ensembled - distilled": {"value": 2.12, "low": 0.83, "high": 4.15},
    }
    known = {"dataset": "demo", "scenes": 30}
    metrics["trained_on"] = {
        "distilled": {**known, "from": "demo/student", "input": "colour"},
        "ensembled": {**known, "from": "distilled", "input": "geometry"},
    }
    first, second = trained_on.said(metrics)
    assert first == (
        "superpoint distillation: sees the colour of voxels, began from demo/student, was trained on 30 "
        "scenes of demo, +2.4 over capability fusion (-2.4 to +8.8)"
    )
    assert second == (
        "temporal ensembling: sees places alone, began from superpoint distillation, was trained on 30 "
        "scenes of demo, +2.1 over superpoint distillation (+0.8 to +4.2)"
    )
    out = io.StringIO()
    Console(file=out, width=250).print(tables(metrics))
    assert first in out.getvalue()
    assert scores.table(metrics)["networks"] == [first, second]
    del metrics["trained_on"]
    assert trained_on.said(metrics) == []
