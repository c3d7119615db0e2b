import shutil

import numpy as np
import pytest

from anyscene.errors import DataError
from anyscene.learning.engine.recent import Recent, bytes_of
from anyscene.learning.views import clouds as views
from anyscene.learning.views.clouds import Clouds, read_labelled_clouds, read_training_clouds
from anyscene.networks.cloud import read_cloud
from anyscene.project import store
from tests.builders import training_rooms


def test_scenes_to_train_on(tmp_path):
    def ids(folders):
        return [cloud.id for cloud in read_training_clouds(*folders[:2])]

    assert ids(training_rooms.write(tmp_path / "mixed", range(4), splits=("train", "val"))) == [
        "room0",
        "room2",
    ]
    assert ids(training_rooms.write(tmp_path / "val", range(2), splits=("val",))) == ["room0", "room1"]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    training_rooms.write(folder, range(3))
    training_rooms.write_labels(folder, range(3))
    return folder


def test_labels_are_those_of_the_training_split(world, tmp_path):
    (cloud, *_) = read_labelled_clouds(world / "scenes", world / "superpoints", world / "labels")
    assert np.array_equal(cloud.label, training_rooms.room(0)[1])
    assert np.array_equal(cloud.instance, cloud.superpoint)
    scenes, superpoints, _ = training_rooms.write(tmp_path, range(2), splits=("val",))
    labels = training_rooms.write_labels(tmp_path, range(2))
    assert len(read_training_clouds(scenes, superpoints)) == 2  # without labels there is nothing to leak
    with pytest.raises(DataError, match="room0: is in the split 'val'; a supervised objective"):
        read_labelled_clouds(scenes, superpoints, labels)


def test_a_cloud_is_read_when_it_is_used_and_the_last_ones_are_kept(world, monkeypatch):
    read = []

    def noted(scenes, superpoints, scene):
        read.append(scene)
        return read_cloud(scenes, superpoints, scene)

    monkeypatch.setattr(views, "read_cloud", noted)
    size = max(bytes_of(training_rooms.room(seed)[0]) for seed in range(3))
    clouds = read_training_clouds(world / "scenes", world / "superpoints", Recent(2 * size))
    chosen = clouds.at([2, 0])
    assert len(clouds) == 3 and chosen.ids == ("room2", "room0") and clouds[1:].ids == ("room1", "room2")
    assert read == []
    assert np.array_equal(chosen[0].xyz, training_rooms.room(2)[0].xyz)
    assert [clouds[place].id for place in (2, 0, 2, 0)] == ["room2", "room0"] * 2
    assert read == ["room2", "room0"]
    assert clouds[1].id == "room1" and clouds[2].id == "room2"
    assert read == ["room2", "room0", "room1", "room2"]


def test_clouds_in_memory_are_taken_as_they_are():
    held = [training_rooms.room(seed)[0] for seed in range(2)]
    assert list(Clouds.held(iter(held))) == held


def test_some_scenes_may_be_left_out(world):
    clouds = read_training_clouds(world / "scenes", world / "superpoints", without={"room1"})
    assert clouds.ids == ("room0", "room2")
    folders = (world / "scenes", world / "superpoints", world / "labels")
    assert read_labelled_clouds(*folders, without={"room0"}).ids == ("room1", "room2")


def test_superpoints_and_labels_of_other_points_are_refused_before_a_cloud_is_read(tmp_path):
    scenes, superpoints, _ = training_rooms.write(tmp_path, range(2))
    labels = training_rooms.write_labels(tmp_path, range(2))
    shutil.rmtree(store.scene_path(labels, "room1"))
    group = store.create(store.scene_path(labels, "room1"), "key")
    store.write(group, "label", np.zeros(7, np.int16))
    store.write(group, "instance", np.zeros(7, np.int32))
    with pytest.raises(DataError, match=r"room1: 7 labels and 7 instances for \d+ points; run the stage lab"):
        read_labelled_clouds(scenes, superpoints, labels)
    shutil.rmtree(store.scene_path(superpoints, "room1"))
    group = store.create(store.scene_path(superpoints, "room1"), "key")
    store.write(group, "superpoint", np.zeros(7, np.int32))
    for read in (read_training_clouds, lambda *folders: read_labelled_clouds(*folders, labels)):
        with pytest.raises(DataError, match=r"room1: 7 superpoint labels for \d+ points"):
            read(scenes, superpoints)
