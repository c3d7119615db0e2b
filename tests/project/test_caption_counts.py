"""Counts of captions, as they are stored and as features are formed of them."""

from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from anyscene.errors import StoreError
from anyscene.project import artefact, store
from anyscene.project.artefact import FEATURE_BITS
from anyscene.project.caption_counts import CaptionCounts, joined
from anyscene.show import inspection


def random_counts(seed, points=50, captions=7, width=5, most=300):
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(captions, width)).astype(np.float32)
    counts = rng.integers(0, most, (points, captions)) * (rng.random((points, captions)) < 0.3)
    text = tuple(f"caption {n}" for n in range(captions))
    return CaptionCounts(sparse.csr_array(counts.astype(np.float32)), table, text)


def written(folder, counts):
    path = folder / "a.zarr"
    store.write_counts(store.create(path, "k"), counts)
    return path


def test_the_mean_of_the_captions_of_a_point():
    counts = joined(
        np.array([2, 0, 1]), np.array([0, 2, 1]), np.array([3, 1, 5]), np.eye(3, dtype=np.float32)
    )
    feature, sightings = counts.means(0, 3)
    assert feature.tolist() == [[0.75, 0, 0.25], [0, 0, 0], [0, 1, 0]]
    assert sightings.tolist() == counts.sightings.tolist() == [4, 0, 5]


@pytest.mark.parametrize(
    ("distinct", "caption", "times", "message"),
    [
        ([1, 2], [0, 1], [1, 1], "3 captions of points, 2 ids and 2 counts"),
        ([1, 1], [0, 1], [1], "2 captions of points, 2 ids and 1 counts"),
        ([1, 1], [0, 3], [1, 1], "caption 3 has no embedding"),
    ],
)
def test_lists_that_do_not_fit(distinct, caption, times, message):
    with pytest.raises(ValueError, match=message):
        joined(np.array(distinct), np.array(caption), np.array(times), np.eye(3, dtype=np.float32))


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), covered=st.integers(1, 60), formed=st.integers(1, 60))
def test_formed_features_have_the_bits_of_stored_ones(tmp_path_factory, seed, covered, formed):
    folder, rng = tmp_path_factory.mktemp("counts"), np.random.default_rng(seed)
    counts = random_counts(seed)
    path = written(folder, counts)
    with store.Appending(
        zarr.open_group(folder / "b.zarr", mode="w"), "feature", (50, 5), np.float16, keep_bits=FEATURE_BITS
    ) as rows:
        rows.add(counts.means(0, 50)[0])
    whole = zarr.open_group(folder / "b.zarr", mode="r")["feature"][:]
    some, mask = rng.integers(-50, 50, 20), rng.random(50) < 0.4
    low, high = sorted(rng.integers(0, 51, 2).tolist())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(artefact, "COVERED", covered)
        patch.setattr(artefact, "FORMED", formed)
        found = store.open_scene(path)["feature"]
        assert found.shape == (50, 5) and found.dtype == np.float16 and found.nbytes == 500
        for part in (
            slice(None), slice(low, high), slice(None, None, -3), some, mask, 7, -1, ..., (),
            np.array([], int), (slice(low, high), slice(1, 3)), (some, 2), (4, slice(2)), (..., 1),
        ):  # fmt: skip
            expected = whole[part]
            assert found[part].shape == expected.shape and found[part].tobytes() == expected.tobytes(), part
    with pytest.raises(IndexError):
        found[50]


def test_counts_come_back_as_they_were(tmp_path):
    counts = random_counts(0)
    group = store.open_scene(written(tmp_path, counts))
    assert list(group) == ["caption", "count", "distinct", "embedding", "feature", "times"]
    assert {name: group[name].dtype.str[1:] for name in group} == {
        "caption": "u2", "count": "u2", "distinct": "u2", "embedding": "f4", "feature": "f2", "times": "u2",
    }  # fmt: skip
    back = joined(*(group[name][:] for name in ("distinct", "caption", "times", "embedding")))
    assert (back.counts != counts.counts).nnz == 0 and np.array_equal(back.embedding, counts.embedding)
    assert group["count"][:].tolist() == counts.sightings.tolist()
    assert tuple(group.attrs["captions"]) == counts.text
    few = random_counts(0, most=200)
    assert store.open_scene(written(tmp_path / "few", few))["times"].dtype == np.uint8


def test_a_scene_without_any_caption(tmp_path):
    nothing = CaptionCounts(sparse.csr_array((4, 0), dtype=np.float32), np.zeros((0, 3), np.float32))
    group = store.open_scene(written(tmp_path, nothing))
    assert group["feature"][:].tolist() == [[0, 0, 0]] * 4 and group["count"][:].tolist() == [0] * 4


def test_counts_that_do_not_fit_are_damage(tmp_path):
    path = written(tmp_path, random_counts(1))
    distinct = store.open_scene(path)["distinct"][:]
    store.write(zarr.open_group(path, mode="r+"), "other", distinct + 1)
    for file in (path / "distinct").glob("c.*"):
        file.write_bytes((path / "other" / file.name).read_bytes())
    with pytest.raises(StoreError, match=r"a\.zarr: damaged, its counts of captions do not fit .* remove "):
        store.open_scene(path)["feature"][:]


def test_a_lost_file_is_named(tmp_path):
    path = written(tmp_path, random_counts(1))
    next((path / "times").glob("c.*")).unlink()
    with pytest.raises(StoreError, match=r"a\.zarr: damaged, times cannot be read \(0 of its 1 files"):
        store.open_scene(path)["feature"]


def test_what_is_not_there_is_not_formed(tmp_path: Path):
    store.write(store.create(tmp_path / "a.zarr", "k"), "count", np.zeros(3, np.uint16))
    group = store.open_scene(tmp_path / "a.zarr")
    assert "feature" not in group and list(group) == ["count"]
    with pytest.raises(StoreError, match="has no array 'feature'"):
        group["feature"]


def test_inspection_shows_what_is_formed(tmp_path):
    path = written(tmp_path, random_counts(2))
    lines = [str(child.label) for child in inspection.tree(path).children]
    assert any(line.startswith("feature") and "formed of counts of captions" in line for line in lines)
    assert inspection.record(path)["arrays"]["feature"]["bytes"] == 0
    assert "captions: 7 of them" in lines
