"""Where the features of a scene come from."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from anyscene.errors import CheckpointError, StoreError
from anyscene.networks import checkpoint
from anyscene.project import store
from anyscene.project.layout import Artefacts
from anyscene.tasks import sources


def test_the_most_refined_network_is_the_default(rooms, tmp_path):
    names = sources.names(Artefacts(rooms), "room0")
    assert names[0] == "fusion" and sources.of_scene(Artefacts(rooms), "room0").name == names[-1]
    copy = tmp_path / "copy"
    shutil.copytree(rooms, copy)
    for gone, left in zip(names[:0:-1], names[-2::-1], strict=True):
        shutil.rmtree(copy / "models" / gone)
        assert sources.of_scene(Artefacts(copy), "room0").name == left


def test_no_other_network_takes_the_place_of_one_that_is_lost(rooms, tmp_path):
    """Where none is named; another one that is named is taken."""
    shutil.copytree(rooms, tmp_path / "copy")
    artefacts = Artefacts(tmp_path / "copy")
    *_, other, last = sources.names(artefacts)
    checkpoint.record(artefacts.model(last), artefacts.root / f"data/networks/{last}.json")
    (artefacts.model(last) / "network.json").unlink()
    for take in (sources.network, sources.default, lambda of: sources.of_scene(of, "room0")):
        with pytest.raises(CheckpointError, match=rf"models/{last}/network\.json: lost"):
            take(artefacts)
    assert sources.of_scene(artefacts, "room0", other).name == other


def test_no_features_at_all_say_what_to_run(rooms, tmp_path):
    with pytest.raises(StoreError, match="dvc repro"):
        sources.of_scene(Artefacts(tmp_path), "room0")


def test_where_nothing_is_fused_other_features_are_named(rooms, tmp_path):
    shutil.copytree(rooms, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy/data/fusion/room0.zarr")
    wanted = r"fusion/room0\.zarr: no fused features; there are features of \w+"
    with pytest.raises(StoreError, match=wanted):
        sources.of_scene(Artefacts(tmp_path / "copy"), "room0", "fusion")


def test_a_network_is_taken_by_the_path_of_its_folder(rooms, tmp_path):
    name = sources.names(Artefacts(rooms))[-1]
    shutil.copytree(rooms / "models" / name, tmp_path / "elsewhere")
    found = sources.of_scene(Artefacts(rooms), "room0", str(tmp_path / "elsewhere"))
    np.testing.assert_array_equal(found.values, sources.of_scene(Artefacts(rooms), "room0", name).values)


def test_fused_superpoints_alone_are_their_points_features(rooms, tmp_path):
    shutil.copytree(rooms / "data", tmp_path / "data")
    shutil.rmtree(tmp_path / "data/fusion/room0.zarr/feature")
    found = sources.of_scene(Artefacts(tmp_path), "room0", "fusion")
    group = store.open_scene(rooms / "data/fusion/room0.zarr")
    superpoint = store.open_scene(rooms / "data/superpoints/room0.zarr")["superpoint"][:]
    expected = group["superpoint_feature"][:][superpoint]
    np.testing.assert_array_equal(found.dense(), expected.astype(np.float32))
    np.testing.assert_array_equal(found.valid, group["superpoint_valid"][:][superpoint])
    np.testing.assert_array_equal(np.concatenate([*found.blocks()]), expected.astype(np.float32))
