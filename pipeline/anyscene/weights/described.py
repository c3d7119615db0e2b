"""Weights of the demo's models: a safetensors file in half precision and a JSON file that describes it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file

from anyscene.errors import WeightsError
from anyscene.project import digests
from anyscene.weights import reading
from anyscene.weights.catalogue import TENSORS

DESCRIPTION = "model.json"


def write(folder: Path, module: torch.nn.Module, description: Mapping[str, Any]) -> None:
    """Write `module` in half precision and `description` (architecture, knowledge, training) to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in module.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    save_file(tensors, folder / TENSORS)
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=2, ensure_ascii=False) + "\n")


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
        description = json.loads(description_bytes)
        tensors = load(tensor_bytes)
    except (ValueError, SafetensorError) as error:
        raise WeightsError(
            f"{folder}: damaged weights ({error}); restore the folder from the repository or run `make zoo`"
        ) from error
    full = {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}
    return description, full


def fill(module: torch.nn.Module, tensors: Mapping[str, torch.Tensor], folder: Path) -> None:
    """Load `tensors` into `module`. Raises WeightsError where names or shapes differ."""
    own = {name for name in module.state_dict() if not name.endswith("num_batches_tracked")}
    if own != set(tensors):
        odd = sorted(own ^ set(tensors))
        raise WeightsError(
            f"{folder}: weights of another architecture (first difference: {odd[0]}); run `make zoo`"
        )
    try:
        module.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        raise WeightsError(f"{folder}: weights of another shape: {error}; run `make zoo`") from error
