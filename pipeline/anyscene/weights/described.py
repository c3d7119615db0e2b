"""Weights of the demo's models: a safetensors file in half precision and a JSON file that describes it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from anyscene.errors import WeightsError
from anyscene.project import digests, outputs
from anyscene.weights import reading
from anyscene.weights.catalogue import TENSORS

DESCRIPTION = "model.json"
Module = TypeVar("Module", bound=torch.nn.Module)


def write(folder: Path, module: torch.nn.Module, description: Mapping[str, Any]) -> None:
    """Write `module` in half precision and `description` (architecture, knowledge, training) to `folder`."""
    tensors = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in module.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    outputs.write(folder / TENSORS, save(tensors))
    outputs.write(folder / DESCRIPTION, json.dumps(description, indent=2, ensure_ascii=False) + "\n")


def read(folder: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """The description and the f4 tensors of the model in `folder`.

    Raises WeightsError naming the file where one is missing, damaged, or not what SHA256SUMS notes.
    """
    try:
        description_bytes = (folder / DESCRIPTION).read_bytes()
        tensor_bytes = (folder / TENSORS).read_bytes()
    except FileNotFoundError as error:
        raise WeightsError(
            f"{error.filename}: no such weights; `make zoo` trains the demo models, or set "
            "`segmenters.weights`"
        ) from error
    reading.intact(folder / TENSORS, digests.content_hash)
    try:
        description = dict(json.loads(description_bytes))
        tensors = load(tensor_bytes)
    except (ValueError, TypeError, SafetensorError) as error:
        raise WeightsError(
            f"{folder}: damaged weights ({error}); restore the folder from the repository or run `make zoo`"
        ) from error
    full = {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}
    return description, full


def build(make: Callable[[], Module], tensors: Mapping[str, torch.Tensor], folder: Path) -> Module:
    """The module that `make` makes as the description in `folder` says, with `tensors` as its weights.

    It is first made without any memory, of which a damaged description may ask for more than there is. Raises
    WeightsError where nothing can be made of the description, and where names or shapes differ."""
    try:
        with torch.device("meta"):
            wanted = {name: tensor.shape for name, tensor in make().state_dict().items()}
    except (LookupError, TypeError, ValueError, RuntimeError, OverflowError) as error:
        said = str(error).partition("\n")[0]
        raise WeightsError(
            f"{folder / DESCRIPTION}: damaged, describes no network ({type(error).__name__}: {said}); "
            "restore the folder from the repository or run `make zoo`"
        ) from error
    own = {name for name in wanted if not name.endswith("num_batches_tracked")}
    if own != set(tensors):
        odd = sorted(own ^ set(tensors))
        raise WeightsError(
            f"{folder}: weights of another architecture (first difference: {odd[0]}); run `make zoo`"
        )
    for name in sorted(own):
        if wanted[name] != tensors[name].shape:
            raise WeightsError(
                f"{folder}: weights of another shape: {name} is {list(tensors[name].shape)}, wanted "
                f"{list(wanted[name])}; run `make zoo`"
            )
    module = make()
    module.load_state_dict(tensors, strict=False)
    return module
