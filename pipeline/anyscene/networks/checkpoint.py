"""Networks on disk: weights as safetensors, everything else as JSON beside them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError

from anyscene.errors import CheckpointError
from anyscene.networks.minkunet import MinkUNet
from anyscene.project import outputs
from anyscene.project.digests import sha256
from anyscene.project.parameters import Backend

WEIGHTS, DESCRIPTION = "model.safetensors", "network.json"
MADE = ("made", "adopted")  # entries of network.json: what the network was made from
PREFIXES = ("module.", "net3d.")  # added by data-parallel training and by OpenScene's wrapper


def save(network: MinkUNet, folder: Path, meta: Mapping[str, Any]) -> None:
    """Write model.safetensors and network.json to `folder`; each file is replaced as a whole.

    network.json holds `meta`, the network's settings under "network", and the sha256 of its weights."""
    folder = Path(folder)
    weights = _serialised(network)
    content = {
        "network": network.settings,
        "backend": network.backend,
        "precision": network.precision,
        "sha256": hashlib.sha256(weights).hexdigest(),
        **meta,
    }
    outputs.write(folder / WEIGHTS, weights)
    outputs.write(folder / DESCRIPTION, json.dumps(content, indent=2, sort_keys=True) + "\n")


def digest(network: MinkUNet) -> str:
    """The sha256 of the weights, as `save` would note it."""
    return hashlib.sha256(_serialised(network)).hexdigest()


def _serialised(network: MinkUNet) -> bytes:
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    return safetensors.torch.save(tensors)


def describe(folder: Path, meta: Mapping[str, Any]) -> None:
    """Write `meta` into the network.json in `folder` and keep its other entries. Raises CheckpointError
    where the file is missing or damaged."""
    content = description(folder) | dict(meta)
    outputs.write(folder / DESCRIPTION, json.dumps(content, indent=2, sort_keys=True) + "\n")


def record(folder: Path, file: Path) -> None:
    """Write to `file` what network.json in `folder` says of the network, with the hash of its weights, but
    not what made it. Raises CheckpointError where network.json is missing or damaged."""
    said = {name: value for name, value in description(folder).items() if name not in MADE}
    outputs.write(file, json.dumps(said, indent=2, sort_keys=True) + "\n")


def load(folder: Path, backend: Backend | None = None) -> tuple[MinkUNet, dict[str, Any]]:
    """The network saved in `folder`, in evaluation mode, and its network.json.

    backend: of its sparse convolutions; None: the one that it was trained with. Raises CheckpointError
    naming the file that is missing, damaged or altered."""
    folder = Path(folder)
    meta = description(folder)
    check_weights(folder, meta)
    try:
        network = MinkUNet(**meta["network"], backend=backend or meta["backend"], precision=meta["precision"])
    except (ValueError, KeyError, TypeError) as error:
        raise _undescribed(folder, error) from error
    load_weights(network, folder / WEIGHTS)
    return network.eval(), meta


def description(folder: Path) -> dict[str, Any]:
    """The network.json in `folder`. Raises CheckpointError where it is missing or damaged."""
    try:
        return dict(json.loads((folder / DESCRIPTION).read_text()))
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{folder}: no trained network here; run the stage that trains it (`dvc repro`)"
        ) from error
    except (ValueError, TypeError) as error:
        raise _undescribed(folder, error) from error


def check_weights(folder: Path, meta: Mapping[str, Any]) -> None:
    """Raise CheckpointError where the weights in `folder` are missing, or are not those that `meta`, its
    network.json, was written with."""
    path = folder / WEIGHTS
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; run the stage that trains it (`dvc repro`)")
    found = sha256(path)
    if found != meta.get("sha256"):
        raise CheckpointError(
            f"{path}: not the weights that {DESCRIPTION} beside it describes (sha256 {found[:16]}..., not "
            f"{str(meta.get('sha256'))[:16]}...); train the network again"
        )


def _undescribed(folder: Path, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"{folder / DESCRIPTION}: not the description of a network ({error}); train it again"
    )


def load_weights(network: MinkUNet, path: Path) -> None:
    """Load a state dict into `network`, from .safetensors or from a PyTorch file that holds only tensors.

    The prefixes `module.` and `net3d.` are removed from the keys; where the file has an entry "state_dict",
    that is loaded. Raises CheckpointError with the keys that are missing, unknown or of another shape."""
    path = Path(path)
    try:
        if path.suffix == ".safetensors":
            content: Any = safetensors.torch.load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such file; run the stage that trains it (`dvc repro`)") from error
    except (SafetensorError, RuntimeError, OSError, EOFError, ValueError) as error:
        raise CheckpointError(f"{path}: not readable as weights ({error})") from error
    except Exception as error:  # torch raises pickle's own error for files with more than tensors in them
        raise CheckpointError(
            f"{path}: holds more than tensors; convert it to safetensors first ({error})"
        ) from error
    tensors = content.get("state_dict", content)
    state = {_bare(name): tensor for name, tensor in tensors.items()}
    wanted = network.state_dict()
    problems = [f"missing {name}" for name in wanted if name not in state]
    problems += [f"unknown {name}" for name in state if name not in wanted]
    problems += [
        f"{name} is {list(state[name].shape)}, the network has {list(wanted[name].shape)}"
        for name in wanted
        if name in state and state[name].shape != wanted[name].shape
    ]
    if problems:
        shown = "; ".join(problems[:8]) + (f"; and {len(problems) - 8} more" if len(problems) > 8 else "")
        raise CheckpointError(
            f"{path}: weights of another network: {shown}. Check variant, width, channels and bias "
            "(`from: random` in an entry of `training` starts from random weights)"
        )
    network.load_state_dict(state, strict=True)


def _bare(name: str) -> str:
    while name.startswith(PREFIXES):
        name = name.partition(".")[2]
    return name
