"""Weights into a network whose parameters have the names of the published files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import torch

from anyscene.errors import WeightsError

Network = TypeVar("Network", bound=torch.nn.Module)
Architecture = TypeVar("Architecture")


def architecture(
    tensors: Mapping[str, torch.Tensor],
    stem: str,
    by_width: Mapping[int, Architecture],
    file: Path,
    again: str,
) -> Architecture:
    """The one of several architectures, by the width of their first layer, that `tensors` are weights of, the
    content of `file`. stem: the name of that layer's weights. again: the end of the message.

    Raises WeightsError where there is no such layer, or it has another width.
    """
    first = tensors.get(stem)
    if first is None or len(first) not in by_width:
        what = "is missing" if first is None else f"has the shape {list(first.shape)}"
        raise WeightsError(f"{file}: weights of another architecture: {stem} {what}{again}")
    return by_width[len(first)]


def fill(network: Network, tensors: Mapping[str, torch.Tensor], file: Path, again: str) -> Network:
    """`network`, which may be without memory, for inference with `tensors`, the content of `file`, in single
    precision.

    again: the end of messages, what was wanted and where to get it. Raises WeightsError where names or shapes
    differ, or integers stand for real numbers or the other way round; the message lists what is missing and
    what is left over. Raises it too where a value is NaN or infinite.
    """
    own = network.state_dict()
    missing, left = sorted(own.keys() - tensors.keys()), sorted(tensors.keys() - own.keys())
    odd = [name for name in own if name in tensors and tensors[name].shape != own[name].shape]
    if missing or left or odd:
        said = {"missing": missing, "left over": left, "of another shape": odd}
        parts = "; ".join(f"{what}: {', '.join(names)}" for what, names in said.items() if names)
        raise WeightsError(f"{file}: weights of another architecture ({parts}){again}")
    for name, value in tensors.items():
        if value.is_floating_point() != own[name].is_floating_point():
            what = "real numbers" if value.is_floating_point() else "integers"
            raise WeightsError(f"{file}: {name} holds {what}{again}")
    if odd_one := without_numbers(tensors):
        raise WeightsError(f"{file}: damaged, {odd_one} has values that are no numbers{again}")
    single = {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}
    network.load_state_dict(single, assign=True)
    return network.eval().requires_grad_(False)


def without_numbers(tensors: Mapping[str, torch.Tensor]) -> str | None:
    """The name of the first of `tensors` with a value that is NaN or infinite; None where none has any."""
    odd = (name for name, one in tensors.items() if one.is_floating_point() and not one.isfinite().all())
    return next(odd, None)
