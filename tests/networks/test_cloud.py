import shutil

import numpy as np
import pytest
import zarr

from anyscene.errors import DataError, StoreError
from anyscene.networks.cloud import check_cloud, read_cloud
from anyscene.project import store
from tests.builders import training_rooms


def test_superpoints_of_other_points_are_refused(tmp_path):
    scenes, superpoints, _ = training_rooms.write(tmp_path, [0])
    shutil.rmtree(superpoints / "room0.zarr")
    group = store.create(superpoints / "room0.zarr", "key")
    store.write(group, "superpoint", np.zeros(7, np.int32))
    with pytest.raises(DataError, match="room0: 7 superpoint labels"):
        read_cloud(scenes, superpoints, "room0")


def test_each_artefact_is_opened_once(tmp_path, monkeypatch):
    scenes, superpoints, _ = training_rooms.write(tmp_path, [0])
    opened, real = [], store.open_scene
    monkeypatch.setattr(store, "open_scene", lambda path: opened.append(path) or real(path))
    read_cloud(scenes, superpoints, "room0")
    assert opened == [scenes / "room0.zarr", superpoints / "room0.zarr"]
    assert check_cloud(scenes, superpoints, "room0") == len(training_rooms.room(0)[0].xyz)
    assert opened[2:] == opened[:2]


def test_the_number_of_points_needs_no_array_to_be_opened(tmp_path, monkeypatch):
    scenes, superpoints, _ = training_rooms.write(tmp_path, [0])
    monkeypatch.setattr(zarr, "open_array", lambda *_, **__: pytest.fail("opened"))
    assert check_cloud(scenes, superpoints, "room0") == len(training_rooms.room(0)[0].xyz)
    (superpoints / "room0.zarr/superpoint/c.0").unlink()
    with pytest.raises(StoreError, match="0 of its 1 files are there"):
        check_cloud(scenes, superpoints, "room0")
