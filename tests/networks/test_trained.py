"""Trained networks: their list, their features, and files that are not what they were written as."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from anyscene.errors import ConfigError
from anyscene.networks import CheckpointError, MinkUNet, TrainedNetwork, checkpoint, described, save
from anyscene.networks.batch import as_it_is, join
from anyscene.networks.trained import require_recorded
from anyscene.project.layout import Artefacts
from tests.builders import training_rooms

VOXEL = 0.15


def trained(folder, **facts):
    """A small network in `folder`, as a training writes it."""
    torch.manual_seed(0)
    network = MinkUNet("14A", 3, training_rooms.WIDTH, "torch", width=0.25).eval()
    save(network, folder, {"voxel": VOXEL, "input": "colour", **facts})
    return network


def test_features_are_those_of_the_networks_last_layer(tmp_path):
    network = trained(tmp_path / "mine", name="mine", title="of my own", kind="probe", supervised=True)
    found = TrainedNetwork.load(tmp_path / "mine")
    assert (found.voxel, found.inputs) == (VOXEL, "colour")
    description = found.description
    assert (description.name, description.title, description.kind) == ("mine", "of my own", "probe")
    assert description.supervised and description.start is None and description.backend == "torch"
    assert description.folder == tmp_path / "mine"
    cloud, _ = training_rooms.room(0)
    seen = join([as_it_is(cloud, VOXEL, "colour")])
    with torch.no_grad():
        plain = network(seen.maps, seen.features)[seen.views[0].voxels.voxel]
    assert np.array_equal(found.features(cloud), plain.numpy())
    assert found.hidden(cloud).shape == (len(cloud.xyz), network.hidden_channels)


def test_turned_predictions_are_averaged(tmp_path):
    trained(tmp_path)
    found, (cloud, _) = TrainedNetwork.load(tmp_path), training_rooms.room(0)
    quarter = replace(cloud, xyz=cloud.xyz @ np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1]], np.float32))
    half = replace(cloud, xyz=cloud.xyz * np.array([-1, -1, 1], np.float32))
    threes = replace(cloud, xyz=quarter.xyz * np.array([-1, -1, 1], np.float32))
    each = [found.hidden(c) for c in (cloud, quarter, half, threes)]
    mean = found.hidden(cloud, turns=4)
    same = torch.isclose(mean, sum(each) / 4, atol=1e-4).all(1).float().mean()
    assert same > 0.98  # a rounded coordinate may fall into the next voxel
    assert not torch.allclose(mean, each[0], atol=1e-3)
    for turns in (0, 1001, 2**64):
        with pytest.raises(ConfigError, match=f"turns: {turns}; predictions are averaged over 1 to 1000"):
            found.hidden(cloud, turns=turns)


def test_the_most_refined_network_comes_last(tmp_path):
    trained(tmp_path / "a", start="c", place=0)
    trained(tmp_path / "b", start="demo/student", place=2)
    trained(tmp_path / "c", start=None, place=3)
    trained(tmp_path / "d", start="b", place=1)
    trained(tmp_path / "unplaced")
    (tmp_path / "curves alone").mkdir()
    assert [found.name for found in described(tmp_path)] == ["b", "c", "unplaced", "a", "d"]
    assert described(tmp_path / "nowhere") == ()


def test_a_copied_network_is_one_of_its_own(tmp_path):
    for folder in ("first", "second"):
        trained(tmp_path / folder, name="first")
    assert [found.name for found in described(tmp_path)] == ["first", "second"]


def test_a_description_that_cannot_be_read_is_named(tmp_path):
    trained(tmp_path / "mine")
    (tmp_path / "mine" / "network.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"mine/network\.json"):
        described(tmp_path)


@pytest.mark.parametrize("missing", ["voxel", "input"])
def test_what_the_network_is_shown_must_be_said(tmp_path, missing):
    trained(tmp_path)
    path = tmp_path / "network.json"
    meta = json.loads(path.read_text())
    del meta[missing]
    checkpoint.write_description(tmp_path, meta)
    with pytest.raises(
        CheckpointError, match=rf"network\.json: does not say which input it takes \('{missing}'\)"
    ):
        TrainedNetwork.load(tmp_path)


def test_a_flipped_bit_is_refused_by_name(tmp_path):
    trained(tmp_path)
    path = tmp_path / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.safetensors: not the weights that network\.json"):
        TrainedNetwork.load(tmp_path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"voxel": 0.15', '"voxel": 0.25'),
        ('"input": "colour"', '"input": "geometry"'),
        ('"variant": "14A"', '"variant": "18A"'),
        ('"seed"', '"sead"'),
    ],
)
def test_an_altered_description_is_refused_by_name(tmp_path, old, new):
    trained(tmp_path, seed=3)
    path = tmp_path / "network.json"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(CheckpointError, match=r"network\.json: .*an entry was altered"):
        TrainedNetwork.load(tmp_path)


def test_a_flipped_bit_on_a_damaged_disk_is_noticed(tmp_path, monkeypatch):
    """Neither size nor times of the file say so: what it holds is read at each load."""
    trained(tmp_path)
    TrainedNetwork.load(tmp_path)
    monkeypatch.setattr(checkpoint, "content_hash", lambda file: "0" * 64)
    with pytest.raises(CheckpointError, match=r"model\.safetensors: not the weights"):
        TrainedNetwork.load(tmp_path)


def test_a_network_that_was_trained_and_is_lost_is_named(tmp_path):
    artefacts = Artefacts(tmp_path)
    for name in ("first", "second"):
        trained(artefacts.model(name), name=name)
        checkpoint.record(artefacts.model(name), tmp_path / f"data/networks/{name}.json")
    require_recorded(artefacts)
    (artefacts.model("second") / "network.json").unlink()
    with pytest.raises(CheckpointError, match=r"models/second/network\.json: lost, .*/second\.json"):
        require_recorded(artefacts)


def test_weights_without_a_digest_are_refused(tmp_path):
    trained(tmp_path)
    path = tmp_path / "network.json"
    meta = json.loads(path.read_text())
    del meta["sha256"]
    checkpoint.write_description(tmp_path, meta)
    with pytest.raises(CheckpointError, match=r"model\.safetensors: not the weights"):
        TrainedNetwork.load(tmp_path)
