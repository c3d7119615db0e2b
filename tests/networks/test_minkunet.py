from pathlib import Path

import pytest
import torch

from anyscene.networks import VARIANTS, CheckpointError, MinkUNet, load, load_weights, save
from anyscene.networks.minkunet import Convolution, resolve

OPENSCENE = Path(__file__).with_name("openscene_18a.txt")  # names and shapes of its 768-d ScanNet checkpoint


@pytest.mark.parametrize(("variant", "millions"), [("14A", 8.07), ("18A", 15.54), ("34C", 37.90)])
def test_parameter_counts(variant, millions):
    network = MinkUNet(variant, 3, 512)
    assert round(sum(p.numel() for p in network.parameters()) / 1e6, 2) == millions


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_smallest_width_that_is_allowed_leaves_every_layer_a_channel(variant):
    network = MinkUNet(variant, 3, 8, width=1 / 16)  # the bound of network.width
    assert all(parameter.numel() for parameter in network.parameters())


def openscene_state():
    shapes = dict(line.split() for line in OPENSCENE.read_text().splitlines())
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.zeros((), dtype=torch.int64)
        if shape == "scalar"
        else torch.rand([int(n) for n in shape.split("x")], generator=generator)
        for name, shape in shapes.items()
    }


def test_openscene_weights_load(tmp_path):
    torch.save({"state_dict": openscene_state()}, tmp_path / "openscene.pth.tar")
    network = MinkUNet("18A", 3, 768, bias=False)
    load_weights(network, tmp_path / "openscene.pth.tar")
    expected = openscene_state()["module.net3d.block8.1.conv2.kernel"]
    assert torch.equal(network.block8[1].conv2.kernel, expected)


def test_weights_of_another_network_are_refused_by_name(tmp_path):
    torch.save(openscene_state(), tmp_path / "weights.pt")
    with pytest.raises(CheckpointError, match=r"missing final\.bias.*final\.kernel is \[96, 768\]"):
        load_weights(MinkUNet("18A", 3, 512), tmp_path / "weights.pt")
    with pytest.raises(CheckpointError, match=r"unknown block1\.1\.conv1\.kernel"):
        load_weights(MinkUNet("14A", 3, 768, bias=False), tmp_path / "weights.pt")


def test_weights_that_are_not_there_or_not_readable_are_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"none\.pt: no such file; run the stage that trains it \(`dvc"):
        load_weights(MinkUNet("14A", 3, 6), tmp_path / "none.pt")
    for name in ("cut.pt", "cut.safetensors"):
        (tmp_path / name).write_bytes(b"PK\x03\x04 no weights")
        with pytest.raises(CheckpointError, match=rf"{name}: not readable as weights \("):
            load_weights(MinkUNet("14A", 3, 6), tmp_path / name)


def test_saved_network_comes_back(tmp_path):
    torch.manual_seed(0)
    network = MinkUNet("14A", 3, 6, "torch", width=0.25).eval()
    save(network, tmp_path / "model", {"voxel": 0.05})
    again, meta = load(tmp_path / "model")
    cloud = torch.randint(0, 9, (50, 4), dtype=torch.int32) * torch.tensor([0, 1, 1, 1], dtype=torch.int32)
    assert meta["voxel"] == 0.05
    assert meta["backend"] == "torch"
    assert torch.equal(again(cloud, torch.ones(50, 3)), network(cloud, torch.ones(50, 3)))
    first = (tmp_path / "model" / "model.safetensors").read_bytes()
    save(again, tmp_path / "again", {"voxel": 0.05})
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == first


def test_damaged_and_missing_checkpoints_are_named(tmp_path):
    with pytest.raises(CheckpointError, match="no trained network here"):
        load(tmp_path)
    save(MinkUNet("14A", 3, 6, width=0.25), tmp_path, {})
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"model\.safetensors: not the weights that network\.json"):
        load(tmp_path)
    (tmp_path / "network.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"network\.json"):
        load(tmp_path)


def test_auto_takes_the_torch_backend():
    assert resolve("auto") == "torch"
    assert MinkUNet("14A", 3, 4, "minkowski", width=0.25).backend == "minkowski"


@pytest.mark.parametrize(
    ("inputs", "outputs", "size", "up", "fan"),
    [
        (4, 400, 3, False, 400 * 27),
        (4, 400, 5, False, 400 * 125),
        (4, 400, 2, False, 400 * 8),
        (4, 400, 2, True, 400),
        (400, 4, 1, False, 4),
    ],
)
def test_kernels_begin_with_the_variance_of_their_fan_out(inputs, outputs, size, up, fan):
    torch.manual_seed(0)
    kernel = Convolution(inputs, outputs, size, up=up).kernel
    assert kernel.std().item() == pytest.approx((2 / fan) ** 0.5, rel=0.06)  # of 1,600 values and more
    assert abs(kernel.mean().item()) < 0.1 * (2 / fan) ** 0.5
