import numpy as np
import pytest

from anyscene.errors import DataError
from anyscene.learning.views.clouds import read_labelled_clouds, read_training_clouds
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
