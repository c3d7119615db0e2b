from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyscene.errors import StoreError
from anyscene.project import store
from anyscene.show import inspection

ROWS = 3000  # three chunks of one shard


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("artefact") / "a.zarr"
    group = store.create(path, "k")
    feature = np.random.default_rng(0).normal(size=(ROWS, 384)).astype(np.float16)
    feature[1000:] = 0
    store.write(group, "feature", feature)
    store.write(group, "valid", np.zeros(ROWS, bool))
    store.write(group, "empty", np.zeros((0, 3), np.float32))
    store.write(group, "scalar", np.array(7))
    return path


def test_reads_as_a_mapping(whole):
    group = store.open_scene(whole)
    assert list(group) == ["empty", "feature", "scalar", "valid"] and len(group) == 4
    assert "valid" in group and "none" not in group
    feature = group["feature"]
    assert feature.shape == (ROWS, 384) and feature.dtype == np.float16
    assert feature.size == ROWS * 384 and feature.nbytes == ROWS * 384 * 2
    assert feature[10:12].shape == (2, 384) and not feature[1000:].any() and feature[:1000].all(1).any()
    assert group["empty"][:].shape == (0, 3) and group["scalar"][()] == 7
    with pytest.raises(IndexError):
        feature[:, :, 0]


def test_an_array_that_is_not_there(whole):
    with pytest.raises(StoreError, match=r"a\.zarr: has no array 'none'; run the stage that writes it again"):
        store.open_scene(whole)["none"]


@pytest.mark.parametrize("name", ["feature", "valid"])
def test_a_lost_file_is_not_taken_for_zeros(whole, name):
    file = next(file for file in (whole / name).glob("c.*") if file.is_file())
    content = file.read_bytes()
    file.unlink()
    try:
        with pytest.raises(StoreError, match=rf"a\.zarr: damaged, {name} cannot be read \(0 of its 1 files"):
            store.open_scene(whole)[name]
    finally:
        file.write_bytes(content)


@given(data=st.data())
def test_no_altered_byte_goes_unnoticed(whole, data):
    file = whole / "feature/c.0.0"
    content = file.read_bytes()
    place = data.draw(st.integers(0, len(content) - 1))
    altered = data.draw(st.integers(1, 255))
    file.write_bytes(content[:place] + bytes([content[place] ^ altered]) + content[place + 1 :])
    try:
        with pytest.raises(StoreError, match=r"a\.zarr: damaged, feature cannot be read"):
            store.open_scene(whole)["feature"][:]
    finally:
        file.write_bytes(content)


@pytest.mark.parametrize("kept", [0, 3, 1000, -1])
def test_a_file_cut_short(whole, kept):
    file = whole / "feature/c.0.0"
    content = file.read_bytes()
    file.write_bytes(content[:kept])
    try:
        with pytest.raises(StoreError, match=r"remove .*a\.zarr and run its stage again \(`dvc repro`\)"):
            store.open_scene(whole)["feature"][:]
    finally:
        file.write_bytes(content)


@pytest.mark.parametrize("text", ["", "{", "{}", '{"zarr_format": 3, "node_type": "group"}'])
def test_a_damaged_description(whole, text):
    file = whole / "valid/zarr.json"
    content = file.read_text()
    file.write_text(text)
    try:
        with pytest.raises(StoreError, match=r"a\.zarr: damaged, valid cannot be read"):
            store.open_scene(whole)["valid"]
    finally:
        file.write_text(content)


def test_inspection_shows_what_is_left(whole):
    file = whole / "feature/c.0.0"
    content = file.read_bytes()
    file.write_bytes(content[:1000])
    try:
        shown = [str(child.label) for child in inspection.tree(whole).children]
        assert any("a.zarr: damaged, feature cannot be read" in label for label in shown)
        assert any("valid" in label and "bool" in label for label in shown)
        file.unlink()
        (label,) = (str(child.label) for child in inspection.tree(whole.parent).children)
        assert "a.zarr: damaged, feature" in label
    finally:
        file.write_bytes(content)
