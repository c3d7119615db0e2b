import shutil

import numpy as np
import pytest

from anyscene.errors import DataError
from anyscene.networks import read_cloud
from anyscene.project import store
from tests.builders import training_rooms


def test_superpoints_of_other_points_are_refused(tmp_path):
    scenes, superpoints, _ = training_rooms.write(tmp_path, [0])
    shutil.rmtree(superpoints / "room0.zarr")
    group = store.create(superpoints / "room0.zarr", "key")
    store.write(group, "superpoint", np.zeros(7, np.int32))
    with pytest.raises(DataError, match="room0: 7 superpoint labels"):
        read_cloud(scenes, superpoints, "room0")
