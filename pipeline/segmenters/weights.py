"""Weights on disk. Those of the demo models: one safetensors file in half precision and one json that
describes it. Published ones: safetensors, or PyTorch files of which nothing but tensors is ever loaded."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, load_file, save_file
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from pipeline.errors import PipelineError

TENSORS = "model.safetensors"
DESCRIPTION = "model.json"
LIGHTNING = "pytorch_lightning."  # its checkpoints refer to its classes: keys of what callbacks remember


class WeightsError(PipelineError):
    """Weights that are missing, damaged or of another architecture."""


def write(folder: Path, module: torch.nn.Module, description: Mapping[str, Any]) -> None:
    """Store `module` in half precision together with `description` (architecture, knowledge, training)."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in module.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    save_file(tensors, folder / TENSORS)
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=2, ensure_ascii=False) + "\n")


def read(folder: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor], str]:
    """Description, f4 tensors and version (hash of both files' content) of the model in `folder`.

    Raises WeightsError naming the file where one is missing or damaged.
    """
    try:
        description_bytes = (folder / DESCRIPTION).read_bytes()
        tensor_bytes = (folder / TENSORS).read_bytes()
    except FileNotFoundError as error:
        raise WeightsError(
            f"{error.filename}: no such weights; `make zoo` trains the demo models, or set "
            "`segmenters.weights`"
        ) from error
    try:
        description = json.loads(description_bytes)
        tensors = load(tensor_bytes)
    except (ValueError, SafetensorError) as error:
        raise WeightsError(
            f"{folder}: damaged weights ({error}); restore the folder from the repository or run `make zoo`"
        ) from error
    version = hashlib.sha256(description_bytes + tensor_bytes).hexdigest()[:16]
    full = {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}
    return description, full, version


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


def read_published(file: Path, source: str) -> dict[str, torch.Tensor]:
    """Tensors of a .safetensors file, or of a PyTorch file: a state dict, or one under "state_dict".

    No code in a PyTorch file is run, and none of Lightning's. `source` is where the file is had. Raises
    WeightsError where the file is missing, truncated, no weights, or holds anything but data.
    """
    again = f"; get the file again from {source}"
    if not file.is_file():
        raise WeightsError(f"{file}: no such weights; get them from {source} and put them there")
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        foreign = get_unsafe_globals_in_checkpoint(file)
        if strange := [name for name in foreign if not name.startswith(LIGHTNING)]:
            raise WeightsError(
                f"{file}: holds more than tensors ({', '.join(sorted(strange))}); nothing of it ran{again}"
            )
        # in the place of Lightning's classes: takes items and attributes as they do, and does nothing
        with safe_globals([(OrderedDict, name) for name in foreign]):
            state = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except WeightsError:
        raise
    except pickle.UnpicklingError as error:  # its message advises to load without weights_only
        raise WeightsError(f"{file}: holds more than tensors; nothing of it ran{again}") from error
    except Exception as error:  # zip and safetensors readers raise many kinds for broken files
        raise WeightsError(f"{file}: damaged weights ({error}){again}") from error
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise WeightsError(f"{file}: holds no state dict{again}")
    return state


def digest(file: Path) -> str:
    """First 16 digits of the sha256 of the file's content."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]
