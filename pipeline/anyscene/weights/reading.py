"""Reading published weights: safetensors, or PyTorch files of which nothing but tensors is ever loaded, and
only those that are what was published, where that is known."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from anyscene.errors import WeightsError
from anyscene.project.digests import sha256
from anyscene.weights import catalogue

SUMS = "SHA256SUMS"  # in a folder of weights, as sha256sum writes it: what `anyscene weights fetch` noted
LIGHTNING = "pytorch_lightning."  # its checkpoints refer to its classes: keys of what callbacks remember


def read(file: Path, source: str) -> dict[str, torch.Tensor]:
    """Tensors of a .safetensors file, or of a PyTorch file: a state dict, or one under "state_dict".

    No code in a PyTorch file is run, and none of Lightning's. `source` says where to get the file. Raises
    WeightsError where the file is missing, truncated, no weights, not what was published, or holds anything
    but plain tensors of real numbers.
    """
    again = f"; get the file again from {source}"
    if not file.is_file():
        raise WeightsError(f"{file}: no such weights; get them from {source} and put them there")
    try:
        if file.suffix == ".safetensors":
            intact(file)
            return _plain(load_file(file), file, again)
        with file.open("rb") as stream:
            zipped = stream.read(2) == b"PK"
        # torch.load itself looks through the format from before PyTorch 1.6
        foreign = _foreign(file, again) if zipped else []
        intact(file)
        # in the place of Lightning's classes: takes items and attributes as they do, and does nothing.
        # Mapped, or it would be in memory twice.
        with safe_globals([(OrderedDict, name) for name in foreign]):
            state = torch.load(file, map_location="cpu", weights_only=True, mmap=zipped)
    except WeightsError:
        raise
    except pickle.UnpicklingError as error:  # its message advises to load without weights_only
        what = "holds more" if zipped else "damaged, or holds more"
        raise WeightsError(f"{file}: {what} than tensors; nothing of it ran{again}") from error
    except Exception as error:  # zip and safetensors readers raise many kinds for broken files
        raise WeightsError(f"{file}: damaged weights ({error}){again}") from error
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise WeightsError(f"{file}: holds no state dict{again}")
    return _plain(state, file, again)


def _plain(state: dict[Any, torch.Tensor], file: Path, again: str) -> dict[str, torch.Tensor]:
    """`state`. Raises WeightsError for a name that is no text, and for tensors that a network of plain ones
    cannot take, or would take for other numbers than they mean."""
    for name, value in state.items():
        if not isinstance(name, str):
            raise WeightsError(f"{file}: holds no state dict: {name!r} is not the name of a tensor{again}")
        strange = {
            "quantised": value.is_quantized or value.dtype is torch.int8,
            "sparse": value.layout is not torch.strided,
            "complex": value.is_complex(),
            "without values": value.is_meta,
        }
        if found := [what for what, is_so in strange.items() if is_so]:
            raise WeightsError(f"{file}: {name} is {found[0]}, wanted a plain tensor of real numbers{again}")
    return state


def _foreign(file: Path, again: str) -> list[str]:
    """Names of Lightning's classes that a PyTorch file refers to. Raises WeightsError for any others."""
    foreign = get_unsafe_globals_in_checkpoint(file)
    if strange := [name for name in foreign if not name.startswith(LIGHTNING)]:
        raise WeightsError(
            f"{file}: holds more than tensors ({', '.join(sorted(strange))}); nothing of it ran{again}"
        )
    return foreign


def intact(file: Path) -> bool:
    """Whether it is known what `file` should hold, and that it does: by what was published under its name, or
    by SHA256SUMS beside it or one folder above. Raises WeightsError where it should and does not."""
    known, entry = catalogue.published(file), catalogue.entry_of(file)
    if known is not None and known.size is not None and file.stat().st_size != known.size:
        raise WeightsError(
            f"{file}: {file.stat().st_size:,} bytes, the published file has {known.size:,}; "
            f"{_again(entry)}, or give it another name"
        )
    if known is not None and known.sha256 is not None:
        remedy = "or give it another name"
        wanted: str | None = known.sha256
    else:
        sums, wanted = noted(file)
        remedy = f"or take it out of {sums}, if it was changed on purpose"
    if wanted is None:
        return False
    found = sha256(file)
    if found != wanted:
        raise WeightsError(
            f"{file}: damaged or not what was published (its sha256 is {found}, wanted {wanted}); nothing of "
            f"it ran; {_again(entry)}, {remedy}"
        )
    return True


def _again(entry: catalogue.Entry | None) -> str:
    if entry is None:
        return "get it again"
    if entry.repository or entry.url:
        return f"get it again (`anyscene weights fetch {entry.name}`, or {entry.source})"
    return f"get it again from {entry.source}"


def noted(file: Path) -> tuple[Path | None, str | None]:
    """(the SHA256SUMS that names `file`, its sha256 in there), or two Nones."""
    for folder in (file.parent, file.parent.parent):
        sums = folder / SUMS
        if sums.is_file():
            for line in sums.read_text().splitlines():
                digest, _, name = line.partition(" ")
                if name.lstrip(" *") == file.relative_to(folder).as_posix():
                    return sums, digest
    return None, None


def refuse_code(file: Path, source: str) -> None:
    """Of a file that another library will load: raises WeightsError where it is missing, not what was
    published, or could run anything."""
    if not file.is_file():
        raise WeightsError(f"{file}: no such weights; get them from {source} and put them there")
    if file.suffix not in (".safetensors", ".npz", ".npy"):
        again = f"; get safetensors from {source}"
        try:
            _foreign(file, again)
        except WeightsError:
            raise
        except Exception as error:  # zip readers raise many kinds for broken files
            raise WeightsError(f"{file}: damaged weights, or TorchScript ({error}){again}") from error
    intact(file)


def digest(file: Path) -> str:
    """First 16 digits of the sha256 of the file's content."""
    return sha256(file)[:16]
