"""Annotation that does not belong to the points beside it."""

from types import SimpleNamespace

import numpy as np
import pytest

from anyscene.datasets import Truth, label_set
from anyscene.datasets.import_labels import Annotate
from anyscene.errors import DataError
from anyscene.project import layout, store

CLASSES = len(label_set("scannet20"))


@pytest.fixture
def of_three_points(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scene = store.create(store.scene_path(layout.SCENES, "room"), "key")
    store.write(scene, "xyz", np.zeros((3, 3), np.float32))
    return store.create(tmp_path / "label.zarr", "key")


def annotated(labels, group):
    truth = Truth(np.array(labels, np.int16), np.full(len(labels), -1, np.int32), "truth.npy")
    dataset = SimpleNamespace(read_truth=lambda scene: truth)
    Annotate(dataset, label_set("scannet20"))("room", group)
    return group["label"][:].tolist()


def test_annotation_of_these_points_is_written(of_three_points):
    assert annotated([0, -1, CLASSES - 1], of_three_points) == [0, -1, CLASSES - 1]


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([0, 1], "2 labels for 3 vertices; export both from one mesh"),
        ([0, 1, 2, 3], "4 labels for 3 vertices; export both from one mesh"),
        ([0, 1, CLASSES], r"labels must lie in -1\.\.19, rows of scannet20"),
        ([0, 1, -2], r"labels must lie in -1\.\.19, rows of scannet20"),
    ],
)
def test_annotation_of_other_points_or_classes_is_refused(of_three_points, labels, said):
    with pytest.raises(DataError, match=rf"truth\.npy: {said}"):
        annotated(labels, of_three_points)
