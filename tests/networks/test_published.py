"""Checkpoints of OpenScene and SAS."""

import pytest
import torch

from anyscene.errors import CheckpointError
from anyscene.networks import MinkUNet
from anyscene.networks.published import network_of


def state_of(variant="14A", channels=6, bias=False):
    torch.manual_seed(1)
    network = MinkUNet(variant, 3, channels, "torch", bias=bias).eval()
    return network, {f"module.net3d.{name}": tensor for name, tensor in network.state_dict().items()}


@pytest.mark.parametrize(("variant", "bias"), [("14A", False), ("18A", True), ("34C", False)])
def test_variant_width_and_bias_are_those_of_the_weights(variant, bias):
    network, state = state_of(variant, 7, bias)
    found = network_of(state, "here")
    assert found.settings == network.settings and not found.training
    rows = torch.tensor([[0, 0, 0, 0], [0, 3, 0, 1], [0, 3, 1, 1]], dtype=torch.int32)
    assert torch.equal(found(rows, torch.ones(3, 3)), network(rows, torch.ones(3, 3)))


def test_kernels_over_one_voxel_may_lack_their_first_axis():
    network, state = state_of()
    name = "module.net3d.final.kernel"
    for kernel in (state[name][0] if state[name].ndim == 3 else state[name], state[name].reshape(1, -1, 6)):
        assert torch.equal(network_of(state | {name: kernel}, "here").final.kernel, network.final.kernel)


def test_what_is_missing_or_left_over_is_named():
    _, state = state_of("18A")
    del state["module.net3d.bn0.bn.weight"]
    state["module.clip.text"] = torch.zeros(2)
    wrong = {"module.net3d.bn1.bn.bias": torch.zeros(5)}
    message = (
        "here: not the weights of a MinkUNet18A: missing bn0.bn.weight; left over clip.text; "
        "bn1.bn.bias is [5], not [32]"
    )
    with pytest.raises(CheckpointError) as error:
        network_of(state | wrong, "here")
    assert str(error.value) == message


def test_weights_of_something_else_are_refused():
    with pytest.raises(
        CheckpointError, match=r"has no conv0p1s1\.kernel or final\.kernel, so it holds no MinkUNet"
    ):
        network_of({"weight": torch.zeros(3)}, "here")
