import dataclasses
import os
import subprocess

import numpy as np
import pytest

from anyscene.learning.entry import Entry
from anyscene.project import layout, parameters, presets, store
from anyscene.project.stages import declared
from anyscene.study import disk
from tests.builders import REPOSITORY

POINTS = (20_000, 40_000, 60_000, 120_000)


@pytest.fixture
def params():
    return parameters.load(REPOSITORY / "params.yaml")


@pytest.fixture(scope="module")
def stages():
    return declared(REPOSITORY / "stages")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Four imported scenes, in the current folder."""
    monkeypatch.chdir(tmp_path)
    for index, count in enumerate(POINTS):
        write(layout.SCENES, f"scene{index}", "xyz", count)
    return tmp_path


def write(folder, scene, name, points):
    """An artefact that cannot be compressed."""
    group = store.create(store.scene_path(folder, scene), "key")
    store.write(group, name, np.random.default_rng(points).random((points, 3), np.float32))


def du(path):
    return int(subprocess.check_output(["du", "-s", "--block-size=1", path]).split()[0])


def foretold(params, stages, scenes=4, training=3):
    return {share.folder: share for share in disk.foretold(params, stages, scenes, training)}


def test_what_a_folder_takes_is_what_du_says(tmp_path):
    for name, size in (("a", 0), ("b/c", 5000), ("b/d", 300_000)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x" * size)
    os.link(tmp_path / "b/d", tmp_path / "e")  # a second name of the same bytes
    assert 305_000 < disk.taken(tmp_path) == du(tmp_path) < 400_000
    assert disk.taken(tmp_path / "none") == 0


def test_where_nothing_is_there_the_arrays_are_an_upper_bound(tmp_path, monkeypatch, params, stages):
    monkeypatch.chdir(tmp_path)
    found = foretold(params, stages)
    most = disk.bytes_of_point(params)
    assert list(found) == [
        *(layout.SCENES, layout.SYNTHESIS, *(layout.PROJECTION / name for name in ("dense", "mask"))),
        *(layout.SUPERPOINTS, layout.FUSION, layout.LABELS, layout.CHECKPOINTS / "ensembled"),
    ]
    for place, each in most.items():
        assert found[place] == disk.Share(place, 4 * disk.SUPPOSED * each, 0, 0, 4)
    assert found[layout.SYNTHESIS].bytes == 0 and found[layout.SYNTHESIS].of == len(params.vocabulary)
    # histories of three scenes: f4 of 20 classes, twice
    assert found[layout.CHECKPOINTS / "ensembled"].bytes == 3 * disk.SUPPOSED * 20 * 4 * 2
    assert found[layout.FUSION].known == "at most, for 4"


def test_few_scenes_stand_for_all_by_their_points(folder, params, stages):
    place = layout.PROJECTION / "dense"
    for index in (0, 2):
        write(place, f"scene{index}", "feature", POINTS[index])
    share = foretold(params, stages)[place]
    some = sum(du(path) for path in place.iterdir())
    assert share == disk.Share(place, round(some / (20_000 + 60_000) * sum(POINTS)), some, 2, 4)
    assert share.known == "by 2 of 4"
    for index in (1, 3):
        write(place, f"scene{index}", "feature", POINTS[index])
    whole = sum(du(path) for path in place.iterdir())
    assert abs(share.bytes - whole) <= 0.1 * whole
    assert foretold(params, stages)[place] == disk.Share(place, whole, whole, 4, 4)


def test_what_is_not_imported_has_as_many_points_as_what_is(folder, params, stages):
    found = foretold(params, stages, scenes=40, training=30)
    imported = sum(du(path) for path in layout.SCENES.iterdir())
    assert found[layout.SCENES] == disk.Share(layout.SCENES, 10 * imported, imported, 4, 40)
    assert found[layout.SUPERPOINTS].bytes == 4 * 60_000 * 40
    assert found[layout.CHECKPOINTS / "ensembled"].bytes == 160 * 60_000 * 30


def test_images_are_counted_by_class(folder, params, stages):
    write(layout.SYNTHESIS, "chair", "image", 5000)
    share = foretold(params, stages)[layout.SYNTHESIS]
    each, classes = du(layout.SYNTHESIS / "chair.zarr"), len(params.vocabulary)
    assert share == disk.Share(layout.SYNTHESIS, classes * each, each, 1, classes)


def test_more_scenes_take_no_longer_to_look_at(folder, params, stages, monkeypatch):
    monkeypatch.setattr(disk, "SAMPLED", 2)
    seen = []
    taken = disk.taken
    monkeypatch.setattr(disk, "taken", lambda path: seen.append(path.name) or taken(path))
    share = foretold(params, stages)[layout.SCENES]
    assert seen[:2] == ["scene0.zarr", "scene3.zarr"] and share.measured == 2 and share.of == 4


def test_bytes_of_a_point_are_those_of_the_arrays():
    """xyz, normal f4[3] each, rgb u1[3], two faces i4[3]; label i2, instance i4; superpoint i4; of each model
    features f2[C] and counts u2; fused features f2[C], valid b1, weights f2[2], predictions u1[2]."""
    params = presets.load("scannet", REPOSITORY / "params.yaml")
    assert disk.bytes_of_point(params) == {
        layout.SCENES: 51,
        layout.LABELS: 6,
        layout.SUPERPOINTS: 4,
        layout.PROJECTION / "lseg": 1026,
        layout.PROJECTION / "seem": 1026,
        layout.FUSION: 1024 + 1 + 4 + 2,
    }
    lean = dataclasses.replace(params, fusion=dataclasses.replace(params.fusion, point_features=False))
    assert disk.bytes_of_point(lean)[layout.FUSION] == 7
    alone = dataclasses.replace(lean, superpoints=dataclasses.replace(params.superpoints, method="identity"))
    assert disk.bytes_of_point(alone) == disk.bytes_of_point(params)


def test_an_objective_says_what_it_keeps(params):
    assert disk.memories(params) == {"ensembled": 160}
    assert Entry("mine", object, "mine:Mine").memory(20) == 0
