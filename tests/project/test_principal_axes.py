"""Features as places along principal axes, as they are stored and read."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyscene.errors import StoreError
from anyscene.project import artefact, principal_axes, store
from anyscene.project.principal_axes import ERROR, Moments, PrincipalAxes, formed

WIDTH = 24


def features(seed, count=400, decay=0.7, length=1.0):
    """f4[N, C]: random features whose variance falls from axis to axis, around a mean; a tenth are none."""
    rng = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(rng.normal(size=(WIDTH, WIDTH)))
    feature = (rng.normal(size=(count, WIDTH)) * decay ** np.arange(WIDTH)) @ turn + 2 * turn[0]
    feature *= length
    feature[rng.random(count) < 0.1] = 0
    return feature.astype(np.float16).astype(np.float32)


def axes_of(feature):
    moments = Moments(feature.shape[1])
    for part in np.array_split(feature, 3):
        moments.add(part)
    return PrincipalAxes.of(moments)


def lost(feature, read):
    """f8[N]: 1 - cosine of what was a feature and what is read."""
    a, b = (each[feature.any(1)].astype(np.float64) for each in (feature, read))
    return 1 - (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def written(folder, feature, by_axes=True):
    group = store.create(folder / "a.zarr", "k")
    with store.features(group, "feature", feature.shape, by_axes, folder) as rows:
        for part in np.array_split(feature, 3):
            rows.add(part)
    return folder / "a.zarr"


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), decay=st.floats(0.3, 1.0), length=st.sampled_from([1e-2, 1.0, 50.0]))
def test_the_error_is_as_said(seed, decay, length):
    feature = features(seed, decay=decay, length=length)
    axes = axes_of(feature)
    place = axes.places(feature)
    read = formed(place, axes.rows)
    square = np.einsum("nc,nc->n", feature, feature, dtype=np.float64)
    wrong = ((read - feature).astype(np.float64) ** 2).sum(1)[square > 0].mean()
    assert wrong <= 2.2 * ERROR * square[square > 0].mean()
    step = np.linalg.norm(axes.rows[1:].astype(np.float64), axis=1).max()
    assert np.sqrt(((read - feature) ** 2).sum(1)).max() <= 0.51 * step * WIDTH**0.5 + 1e-4 * length
    assert not place[~feature.any(1)].any() and (place[feature.any(1), 0] == 1).all()
    assert not read[~feature.any(1)].any()


def test_axes_are_orthogonal_and_as_long_as_a_step():
    rows = axes_of(features(0)).rows.astype(np.float64)
    product = rows[1:] @ rows[1:].T
    np.testing.assert_allclose(product, product[0, 0] * np.eye(WIDTH), atol=1e-6 * product[0, 0])
    np.testing.assert_allclose(rows[0], features(0)[features(0).any(1)].mean(0), atol=1e-5)


def test_equal_features_and_none_at_all():
    same = np.tile(np.arange(1, 5, dtype=np.float32), (6, 1))
    axes = axes_of(same)
    np.testing.assert_allclose(formed(axes.places(same), axes.rows), same, atol=1e-5)
    none = np.zeros((6, 4), np.float32)
    axes = axes_of(none)
    assert np.isfinite(axes.rows).all() and not axes.places(none).any()


def test_a_feature_far_from_all_others_keeps_its_place():
    feature = features(0)
    feature[7] *= 1e5
    axes = axes_of(feature)
    read = formed(axes.places(feature), axes.rows)
    assert lost(feature, read)[np.flatnonzero(feature.any(1)) == 7] < 1e-3


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), block=st.integers(1, 500))
def test_features_are_read_as_an_array_is(tmp_path_factory, seed, block):
    rng, feature = np.random.default_rng(seed), features(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(artefact, "FORMED", block)
        patch.setattr(store, "FORMED", block)
        path = written(tmp_path_factory.mktemp("axes"), feature)
        found = store.open_scene(path)["feature"]
        whole = found[:]
        assert found.shape == whole.shape == feature.shape and found.dtype == whole.dtype == np.float16
        some, mask = rng.integers(-400, 400, 20), rng.random(400) < 0.1
        low, high = sorted(rng.integers(0, 401, 2).tolist())
        for part in (slice(low, high), slice(None, None, -7), some, mask, 9, (slice(low, high), slice(1, 3))):
            assert found[part].tobytes() == whole[part].tobytes(), part
    # half precision rounds what is read, and its own 2^-11 is far below the error
    assert lost(feature, whole).mean() < 2.5 * ERROR and not whole[~feature.any(1)].any()


def test_what_is_stored(tmp_path):
    path = written(tmp_path, features(0, decay=0.3))
    group = store.open_scene(path)
    assert list(group) == ["feature", "feature_axes", "feature_place"] and "feature" in group
    place, axes = group["feature_place"], group["feature_axes"]
    assert place.shape[1] == axes.shape[0] < WIDTH  # axes along which nothing is a step long are left out
    assert place.dtype == np.int16 and axes.dtype == np.float32
    np.testing.assert_array_equal((place[:] @ axes[:]).astype(np.float16), group["feature"][:])
    assert [file.name for file in tmp_path.iterdir()] == ["a.zarr"]
    again = written(tmp_path / "again", features(0, decay=0.3))
    for file in path.rglob("c.*"):
        assert file.is_dir() or file.read_bytes() == (again / file.relative_to(path)).read_bytes()


def test_features_by_axes_take_fewer_bytes(tmp_path):
    def taken(path):
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())

    feature = features(0, count=20000, decay=0.5)
    assert taken(written(tmp_path / "a", feature)) < 0.5 * taken(written(tmp_path / "b", feature, False))


def test_small_places_take_a_byte(tmp_path, monkeypatch):
    monkeypatch.setattr(principal_axes, "ERROR", 1e-2)
    assert store.open_scene(written(tmp_path, features(0)))["feature_place"].dtype == np.int8


@pytest.mark.parametrize("count", [0, 5])
def test_scenes_without_a_feature(tmp_path, count):
    found = store.open_scene(written(tmp_path, np.zeros((count, 4), np.float32)))["feature"]
    assert found.shape == (count, 4) and not found[:].any()


def test_rows_that_are_missing_are_an_error(tmp_path):
    group = store.create(tmp_path / "a.zarr", "k")
    with (
        pytest.raises(StoreError, match="feature: 3 rows for a length of 4"),
        store.features(group, "feature", (4, 2), True, tmp_path) as rows,
    ):
        rows.add(np.ones((3, 2), np.float32))
