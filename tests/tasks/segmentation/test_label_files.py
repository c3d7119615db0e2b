"""Files of other programs, and the classes that are read from them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from anyscene import datasets
from anyscene.errors import DataError
from anyscene.project import store
from anyscene.tasks.segmentation import label_files

SET = datasets.label_set("scannet20")  # its rows 0, 1, 2, ..., 16, 19 have the ids 1, 2, 3, ..., 33, 39


def test_ids_of_the_benchmark(tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("1\n39\n0\n3\n33\n")
    assert label_files.read(file, SET).tolist() == [0, 19, -1, 2, 16]
    names = [SET.names[row] for row in label_files.read(file, SET) if row >= 0]
    assert names == ["wall", "otherfurniture", "cabinet", "toilet"]


def test_ids_of_a_table_that_is_not_sorted(tmp_path):
    (tmp_path / "a.txt").write_text("12\n11\n10\n0\n")
    classes = replace(SET, names=("x", "y", "z"), ids={"own": np.array([12, 10, 11], np.int32)})
    assert label_files.read(tmp_path / "a.txt", classes).tolist() == [0, 2, 1, -1]


@pytest.mark.parametrize("dtype, none", [("i8", -1), ("i2", 255), ("u1", 255)])
def test_rows_as_pointcept_writes_them(tmp_path, dtype, none):
    np.save(tmp_path / "a_pred.npy", np.array([0, 19, none, 3], dtype))
    label = label_files.read(tmp_path / "a_pred.npy", SET)
    assert label.tolist() == [0, 19, -1, 3] and label.dtype == np.int32


def test_255_is_a_class_where_there_are_so_many(tmp_path):
    many = replace(SET, names=tuple(map(str, range(300))))
    np.save(tmp_path / "a.npy", np.array([255, 299, -1]))
    assert label_files.read(tmp_path / "a.npy", many).tolist() == [255, 299, -1]


def test_an_artefact_with_labels(tmp_path):
    store.write(store.create(tmp_path / "a.zarr", "key"), "label", np.array([4, -1], np.int16))
    assert label_files.read(tmp_path / "a.zarr", SET).tolist() == [4, -1]
    store.write(store.create(tmp_path / "b.zarr", "key"), "prediction", np.zeros((2, 2), np.uint8))
    with pytest.raises(DataError, match=r"b\.zarr: has no array `label`"):
        label_files.read(tmp_path / "b.zarr", SET)


def test_annotation_may_know_more_classes(tmp_path):
    (tmp_path / "a.txt").write_text("1\n13\n40\n")
    np.save(tmp_path / "a.npy", np.array([20, 3, -100]))
    assert label_files.read(tmp_path / "a.txt", SET, lenient=True).tolist() == [0, -1, -1]
    assert label_files.read(tmp_path / "a.npy", SET, lenient=True).tolist() == [-1, 3, -1]


@pytest.mark.parametrize(
    "text, message",
    [
        ("1\n13\n40\n", r"a\.txt: line 2: 13 is no nyu40_id of scannet20"),
        ("1\n-1\n", r"a\.txt: line 2: -1 is no nyu40_id"),
        ("1\nwall\n", r"a\.txt: line 2: 'wall' is no integer; export it again"),
        ("1\n\n3\n2.0\n1\n", r"a\.txt: line 4: '2\.0' is no integer"),
        ("99999999999999999999\n1\n", r"a\.txt: line 1: '99999999999999999999' is no integer"),
        ("1\n" + 41 * "w", rf"a\.txt: line 2: '{40 * 'w'}\.\.\.' is no integer"),
    ],
)
def test_ids_that_are_refused(tmp_path, text, message):
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(DataError, match=message):
        label_files.read(tmp_path / "a.txt", SET)


def test_files_that_cannot_be_read_as_lines(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"1\n\xff\n")
    with pytest.raises(DataError, match=r"a\.txt: is no text \(.*\); export it again"):
        label_files.read(tmp_path / "a.txt", SET)
    with pytest.raises(DataError, match=r"b\.txt: cannot be read \(No such file"):
        label_files.read(tmp_path / "b.txt", SET)


def test_a_file_is_not_called_a_folder_that_is_missing(tmp_path):
    (tmp_path / "README.md").touch()
    with pytest.raises(DataError, match=r"README\.md: is a file, and no folder; give one with a file for"):
        label_files.files(tmp_path / "README.md")
    with pytest.raises(DataError, match=r"nowhere: no such folder; give one with a file for each scene"):
        label_files.files(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "array, message",
    [
        (np.array([0, 20]), r"a\.npy: point 1: 20 is no row of scannet20; name the label set"),
        (np.array([0, -2]), r"a\.npy: point 1: -2 is no row"),
        (np.array([0.0, 1.0]), r"a\.npy: expected one integer for each point, not float64\[2\]"),
        (np.zeros((2, 20), int), r"not int64\[2, 20\]"),
        (np.array([None]), r"a\.npy: not a readable array"),
    ],
)
def test_rows_that_are_refused(tmp_path, array, message):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(DataError, match=message):
        label_files.read(tmp_path / "a.npy", SET)


@pytest.mark.parametrize("ids, there", [((), "none"), (("nyu40", "other"), "nyu40_id, other_id")])
def test_ids_need_one_column(tmp_path, ids, there):
    (tmp_path / "a.txt").write_text("1\n")
    classes = replace(SET, ids=dict.fromkeys(ids, SET.ids["nyu40"]))
    with pytest.raises(DataError, match=f"one column of ids, and scannet20 has {there}; give another"):
        label_files.read(tmp_path / "a.txt", classes)


def test_files_are_known_by_their_scene(tmp_path):
    for name in ("b.txt", "a.npy", "c_pred.npy", ".d.npy", "notes.md"):
        (tmp_path / name).touch()
    (tmp_path / "e").mkdir()
    for name in ("prediction.npy", "coord.npy"):
        (tmp_path / "e" / name).touch()
    (tmp_path / "f.zarr").mkdir()
    (tmp_path / "g/truth").mkdir(parents=True)
    (tmp_path / "g/truth/vertex_label.npy").touch()
    found = label_files.files(tmp_path)
    assert {scene: path.name for scene, path in found.items()} == {
        "a": "a.npy",
        "b": "b.txt",
        "c": "c_pred.npy",
        "e": "prediction.npy",
        "f": "f.zarr",
        "g": "vertex_label.npy",
    }
    (tmp_path / "a.txt").touch()
    with pytest.raises(DataError, match=r"a\.npy and .*a\.txt are both of a; leave one of them"):
        label_files.files(tmp_path)


def test_folders_without_files(tmp_path):
    with pytest.raises(DataError, match="no file of a scene; expected for each ID"):
        label_files.files(tmp_path)
    with pytest.raises(DataError, match="nowhere: no such folder"):
        label_files.files(tmp_path / "nowhere")
