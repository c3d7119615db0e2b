"""How far networks look: the rule against gradients of the networks themselves."""

import numpy as np
import pytest
import torch

from anyscene.networks import MinkUNet
from anyscene.networks.minkunet import VARIANTS
from anyscene.networks.receptive import halo, seen_from

LONG = 512  # voxels, a multiple of the coarsest level's 16


@pytest.fixture(scope="module", params=VARIANTS)
def network(request):
    """One in which nothing cancels: weights are positive, so that no ReLU is closed."""
    network = MinkUNet(request.param, 1, 1, "torch", width=1 / 16).double().eval()
    for name, parameter in network.named_parameters():
        torch.nn.init.constant_(parameter, 0.0 if "bias" in name else 0.05 if "kernel" in name else 1.0)
    return network


def felt(network, place):
    """First and last voxel of a long line on which the answer at `place` depends, by its gradient."""
    line = np.zeros((2 * LONG, 4), np.int32)
    line[:, 1] = np.arange(-LONG, LONG)
    inputs = torch.ones(len(line), 1, dtype=torch.float64, requires_grad=True)
    network(torch.from_numpy(line), inputs)[place + LONG, 0].backward()
    there = line[inputs.grad[:, 0].numpy() > 0, 1]
    return int(there[0]), int(there[-1])


def test_gradients_reach_as_far_as_the_rule_says(network):
    variant = network.settings["variant"]
    found = {place: felt(network, place) for place in range(16)}
    assert {place: seen_from(variant, place) for place in found} == found
    assert halo(variant) == max(max(place - low, high - place) for place, (low, high) in found.items())
    assert halo(variant) < LONG - 16


def test_the_reach_moves_with_the_coarsest_cubes():
    low, high = seen_from("18A", 5)
    assert seen_from("18A", 5 + 48) == (low + 48, high + 48)


def test_deeper_networks_look_farther():
    assert halo("14A") == halo("small") < halo("18A") < halo("34C")
