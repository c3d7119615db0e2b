"""The trained networks of OpenScene and SAS, as their checkpoints hold them."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from anyscene.errors import CheckpointError
from anyscene.networks.checkpoint import bare
from anyscene.networks.minkunet import VARIANTS, MinkUNet
from anyscene.weights.fitting import without_numbers

FIRST, LAST = "conv0p1s1.kernel", "final.kernel"


def network_of(tensors: Mapping[str, torch.Tensor], where: str) -> MinkUNet:
    """The network with these weights, a state dict with the names of OpenScene's models/disnet.py, in
    evaluation mode. Variant, channels and whether its last layer has a bias are those of the weights.

    where: begins messages. Raises CheckpointError where they are those of no variant, with what is missing or
    left over in the one that is nearest."""
    state = {bare(name): tensor for name, tensor in tensors.items()}
    if FIRST not in state or LAST not in state:
        raise CheckpointError(f"{where}: has no {FIRST} or {LAST}, so it holds no MinkUNet")
    first, last = state[FIRST], state[LAST].reshape(-1, state[LAST].shape[-1])
    inputs, outputs = first.shape[-2], last.shape[-1]

    def built(variant: str) -> MinkUNet:
        return MinkUNet(variant, inputs, outputs, "torch", bias="final.bias" in state)

    problems = {}
    for variant in VARIANTS:
        with torch.device("meta"):
            wanted = built(variant).state_dict()
        problems[variant] = _differences(state, wanted)
    variant = min(problems, key=lambda one: len(problems[one]))
    if found := problems[variant]:
        more = f"; and {len(found) - 8} more" if len(found) > 8 else ""
        raise CheckpointError(
            f"{where}: not the weights of a MinkUNet{variant}: {'; '.join(found[:8])}{more}"
        )
    if name := without_numbers(state):
        raise CheckpointError(f"{where}: damaged, {name} has values that are no numbers; get it again")
    network = built(variant)
    own = network.state_dict()
    network.load_state_dict({name: state[name].reshape(own[name].shape) for name in own})
    return network.eval()


def _differences(state: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]) -> list[str]:
    """In words, what of a state dict a network does not have, and the other way round."""
    found = [f"missing {name}" for name in wanted if name not in state]
    found += [f"left over {name}" for name in state if name not in wanted]
    for name, tensor in wanted.items():
        # MinkowskiEngine drops the first axis of the kernel of a convolution over one voxel
        if name in state and state[name].numel() != tensor.numel():
            found.append(f"{name} is {list(state[name].shape)}, not {list(tensor.shape)}")
    return found
