"""Networks on disk: weights as safetensors, everything else as JSON beside them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError

from anyscene.errors import CheckpointError, WeightsError
from anyscene.networks.minkunet import MinkUNet
from anyscene.project import outputs
from anyscene.project.digests import content_hash
from anyscene.project.parameters import Backend
from anyscene.weights import reading

WEIGHTS, DESCRIPTION = "model.safetensors", "network.json"
SCENES = "scenes.txt"  # the scenes that it was trained on, a line each
MADE = ("made", "adopted")  # entries of network.json: what the network was made from
WRITTEN = ("sha256", "curve", "adopted")  # entries that say which files were written, and what became of them
DIGEST = "digest"  # entry of network.json: of the others
PREFIXES = ("module.", "net3d.")  # added by data-parallel training and by OpenScene's wrapper


def save(network: MinkUNet, folder: Path, meta: Mapping[str, Any]) -> None:
    """Write model.safetensors and network.json to `folder`; none takes its place before both are written.

    network.json holds `meta`, the network's settings under "network", the sha256 of its weights, and a digest
    of itself."""
    folder = Path(folder)
    weights = _serialised(network)
    described = {**_settings(network), "sha256": hashlib.sha256(weights).hexdigest(), **meta}
    with outputs.replaced(folder / WEIGHTS) as partial:
        partial.write_bytes(weights)
        write_description(folder, described)


def digest(network: MinkUNet) -> str:
    """The sha256 of the weights, as `save` would note it."""
    return hashlib.sha256(_serialised(network)).hexdigest()


def _serialised(network: MinkUNet) -> bytes:
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    return safetensors.torch.save(tensors)


def describe(folder: Path, meta: Mapping[str, Any]) -> None:
    """Write `meta` into the network.json in `folder` and keep its other entries. Raises CheckpointError
    where the file is missing or damaged."""
    write_description(folder, description(folder) | dict(meta))


def describe_anew(network: MinkUNet, folder: Path, meta: Mapping[str, Any]) -> None:
    """Write the network.json of `network`, whose weights lie in `folder`, as `save` would. Of the file that
    is there the entries of WRITTEN stay. Raises CheckpointError where it is missing or no description."""
    before = description(folder, whole=False)
    kept = {name: before[name] for name in WRITTEN if name in before}
    write_description(folder, {**_settings(network), **kept, **meta})


def _settings(network: MinkUNet) -> dict[str, Any]:
    """What network.json says of the network's architecture."""
    return {"network": network.settings, "backend": network.backend, "precision": network.precision}


def write_description(folder: Path, content: Mapping[str, Any]) -> None:
    """Write `content`, with its digest, to network.json in `folder`."""
    described = {**content, DIGEST: _digest(content)}
    outputs.write(folder / DESCRIPTION, json.dumps(described, indent=2, sort_keys=True) + "\n")


def _digest(content: Mapping[str, Any]) -> str:
    """16 digits of the entries of a network.json but its digest."""
    said = {name: value for name, value in content.items() if name != DIGEST}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


def record(folder: Path, file: Path) -> None:
    """Write to `file` what network.json in `folder` says of the network, with the hash of its weights, but
    not what made it. Raises CheckpointError where network.json is missing or damaged."""
    said = {name: value for name, value in description(folder).items() if name not in (*MADE, DIGEST)}
    outputs.write(file, json.dumps(said, indent=2, sort_keys=True) + "\n")


def note_scenes(folder: Path, scenes: Iterable[str]) -> None:
    """Write to `folder` which scenes its network was trained on."""
    outputs.write(folder / SCENES, "".join(f"{scene}\n" for scene in scenes))


def noted_scenes(folder: Path) -> frozenset[str] | None:
    """The scenes that the network in `folder` was trained on; None where that is not known."""
    with suppress(FileNotFoundError):
        return frozenset((folder / SCENES).read_text(encoding="utf-8").splitlines())
    return None


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


def description(folder: Path, *, whole: bool = True) -> dict[str, Any]:
    """The network.json in `folder`. Raises CheckpointError where it is missing or damaged.

    whole: whether one that can be read is refused, too, if an entry was altered."""
    try:
        content = dict(json.loads((folder / DESCRIPTION).read_text(encoding="utf-8")))
        if whole and content.get(DIGEST, said := _digest(content)) != said:  # older ones have no digest
            raise ValueError("an entry was altered")
        return content
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
    found = content_hash(path)  # one that is remembered would hide a damaged disk
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
    """Load the weights in `path` into `network`. Raises what `read_weights` and `fill` raise."""
    fill(network, read_weights(path), path)


def fill(network: MinkUNet, state: Mapping[str, torch.Tensor], path: Path) -> None:
    """Load `state`, which was read from `path`, into `network`. Raises CheckpointError with the keys that are
    missing, unknown or of another shape."""
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


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The state dict of a network, from .safetensors or from a PyTorch file that holds only tensors.

    The prefixes `module.` and `net3d.` are removed from the keys; where the file has an entry "state_dict",
    that is read. Raises CheckpointError where it cannot be read, and WeightsError where SHA256SUMS beside it
    notes another file."""
    path = Path(path)
    try:
        if path.is_file():
            reading.intact(path)
        if path.suffix == ".safetensors":
            content: Any = safetensors.torch.load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except WeightsError:
        raise
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such file; run the stage that trains it (`dvc repro`)") from error
    except (SafetensorError, RuntimeError, OSError, EOFError, ValueError) as error:
        raise CheckpointError(f"{path}: not readable as weights ({error})") from error
    except Exception as error:  # torch raises pickle's own error for files with more than tensors in them
        raise CheckpointError(
            f"{path}: holds more than tensors; convert it to safetensors first ({error})"
        ) from error
    tensors = content.get("state_dict", content)
    return {bare(name): tensor for name, tensor in tensors.items()}


def bare(name: str) -> str:
    """The name of a parameter without the prefixes of other programs."""
    while name.startswith(PREFIXES):
        name = name.partition(".")[2]
    return name
