"""The file by which DVC tells whether the artefacts of a folder have other values."""

import json

import numpy as np
import pytest

from anyscene.errors import StoreError
from anyscene.project import index, layout, store
from anyscene.project.digests import Digests

FOLDER = layout.SCENES


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("room0")
    write("room1")


def write(scene, key="k", value=1.0, by="code", **attributes):
    path = store.scene_path(FOLDER, scene)
    path.parent.mkdir(parents=True, exist_ok=True)
    group = store.create(path, key)
    group.attrs.update({"split": "train", **attributes})
    store.write(group, "xyz", np.full((5, 3), value, np.float32))
    with Digests(layout.DIGESTS) as digests:
        store.note(path, given="g", made_by=by, content=store.content(path, digests))


def again(scene, **changes):
    path = store.scene_path(FOLDER, scene)
    for file in sorted(path.rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    path.rmdir()
    write(scene, **changes)


def written():
    index.write(FOLDER)
    return layout.index(FOLDER).read_bytes()


def test_its_place():
    assert str(layout.index("data/scenes")) == "data/index/scenes.json"
    assert str(layout.index("data/projection/${item.model}")) == "data/index/projection/${item.model}.json"
    assert str(layout.index("data/${item.target}")) == "data/index/${item.target}.json"
    assert str(layout.index(layout.PROJECTION)) == "data/index/projection"


def test_every_scene_has_a_name_of_its_values():
    found = json.loads(written())
    assert found["failed"] == {} and found["artefacts"].keys() == {"room0", "room1"}
    assert found["artefacts"]["room0"] == found["artefacts"]["room1"]  # equal values


def test_what_made_an_artefact_is_no_value():
    before = written()
    again("room0", by="other code")
    store.note(store.scene_path(FOLDER, "room1"), adopted=[{"at": "noon"}])
    assert written() == before


@pytest.mark.parametrize("changes", [{"key": "other"}, {"value": 1.5}, {"split": "val"}, {"captions": ["a"]}])
def test_another_value_is_another_name(changes):
    before = json.loads(written())["artefacts"]
    again("room0", **changes)
    after = json.loads(written())["artefacts"]
    assert after["room0"] != before["room0"] and after["room1"] == before["room1"]


def test_a_scene_more_and_one_that_was_left_out_are_told():
    before = written()
    write("room2")
    assert "room2" in json.loads(more := written())["artefacts"] and more != before
    store.note_failed(FOLDER, {"room3": "no frames"})
    assert json.loads(written())["failed"] == {"room3": "no frames"}


def test_what_does_not_say_how_it_was_made_is_refused():
    group = store.create(store.scene_path(FOLDER, "room2"), "k")
    store.write(group, "xyz", np.zeros((1, 3), np.float32))
    with pytest.raises(StoreError, match=r"room2\.zarr: does not say how it was made"):
        index.write(FOLDER)
