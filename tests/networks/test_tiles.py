"""Large clouds in tiles: every voxel is answered once, as if all had passed together."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from anyscene.networks import MinkUNet, TrainedNetwork, save
from anyscene.networks import trained as module
from anyscene.networks.batch import as_it_is
from anyscene.networks.cloud import Cloud
from anyscene.networks.receptive import halo
from anyscene.networks.tiles import tiles
from anyscene.networks.trained import passes
from anyscene.tasks import features

VOXEL = 0.1


def building(side=40.0, points=60_000, seed=0):
    """A floor with walls, several times as wide as the network looks."""
    rng = np.random.default_rng(seed)
    xyz = rng.random((points, 3)) * [side, side, 0.05]
    wall = rng.random(points) < 0.5
    xyz[wall] = np.column_stack(
        [rng.random(wall.sum()) * side, np.round(xyz[wall, 1] / 5) * 5, xyz[wall, 2] * 50]
    )
    colour = rng.integers(0, 256, (points, 3), dtype=np.uint8)
    return Cloud("building", xyz.astype(np.float32), colour, np.zeros(points, np.int32))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("network")
    torch.manual_seed(0)
    network = MinkUNet("small", 3, 24, "torch", width=0.5).eval()
    for norm in (one.bn for one in network.modules() if hasattr(one, "bn")):  # as after a training
        norm.running_mean.normal_(0, 0.1)
        norm.running_var.uniform_(0.5, 1.5)
    save(network, folder, {"voxel": VOXEL, "input": "colour"})
    return TrainedNetwork.load(folder)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 400), st.integers(0, 12), st.integers(5, 200))
def test_each_voxel_is_answered_once_and_sees_what_lies_within_the_halo(seed, count, halo, most):
    rng = np.random.default_rng(seed)
    coordinates = np.unique(rng.integers(-30, 30, (count, 3)), axis=0).astype(np.int32)
    found = list(tiles(coordinates, halo, most))
    assert np.array_equal(np.sort(np.concatenate([tile.own for tile in found])), np.arange(len(coordinates)))
    for tile in found:
        assert np.array_equal(tile.seen[tile.answered], tile.own)
        assert (np.diff(tile.seen) > 0).all()
        far = np.abs(coordinates[tile.own][:, None] - coordinates[None]).max(2).min(0)
        assert set(np.flatnonzero(far <= halo)) <= set(tile.seen)
        width = np.ptp(coordinates[tile.own], axis=0).max()
        assert len(tile.seen) <= most or width < max(halo, 1)


def test_a_small_cloud_is_one_tile():
    (tile,) = tiles(np.arange(30, dtype=np.int32).reshape(10, 3), halo=2, most=10)
    assert tile.answered.all() and len(tile.own) == 10


def test_tiles_answer_as_the_whole(trained):
    cloud = building()
    view = as_it_is(cloud, trained.voxel, trained.inputs)
    network, count = trained.network, len(view.features)
    with torch.inference_mode():
        ((_, whole),) = passes(network, view)
        parts = list(passes(network, view, most=count // 3))
    assert len(parts) >= 4
    together = torch.empty_like(whole)
    for own, rows in parts:
        together[torch.from_numpy(own)] = rows
    assert torch.allclose(together, whole, atol=1e-5, rtol=1e-5)


def test_less_than_the_halo_would_not_do(trained, monkeypatch):
    """The halo is needed: with an eighth of it, answers near the edges of tiles are others."""
    view = as_it_is(building(), trained.voxel, trained.inputs)
    with torch.inference_mode():
        ((_, whole),) = passes(trained.network, view)
        monkeypatch.setattr(module, "halo", lambda variant: halo(variant) // 8)
        parts = list(passes(trained.network, view, most=len(view.features) // 8))
    off = max(float((rows - whole[torch.from_numpy(own)]).abs().max()) for own, rows in parts)
    assert off > 1e-3


def test_features_and_labels_are_those_of_the_whole(trained, monkeypatch):
    cloud = building()
    text = torch.nn.functional.normalize(
        torch.randn(7, 24, generator=torch.Generator().manual_seed(1)), dim=1
    )
    text = text.numpy()
    whole, indexed = trained.features(cloud), features.predicted(trained, cloud)
    assert np.array_equal(trained.closest(cloud, text), (whole @ text.T).argmax(1))
    small = 20_000
    monkeypatch.setattr(module.passes, "__defaults__", (small,))
    monkeypatch.setattr(features, "IN_MEMORY", 1000)
    monkeypatch.setattr(features, "FORMED", 999)
    monkeypatch.setattr(module, "ROWS", 1001)
    tiled, again = trained.features(cloud), features.predicted(trained, cloud)
    assert np.allclose(tiled, whole, atol=1e-5)
    assert isinstance(again.values, np.memmap) and not isinstance(indexed.values, np.memmap)
    assert np.allclose(again.dense(), indexed.dense(), atol=1e-5)
    assert np.array_equal(trained.closest(cloud, text), (tiled @ text.T).argmax(1))
    assert (trained.closest(cloud, text) == (whole @ text.T).argmax(1)).mean() > 0.9999
    assert np.array_equal(
        trained.closest(cloud, text, turns=2), (trained.features(cloud, 2) @ text.T).argmax(1)
    )
