"""Reading published weights: safetensors, pickles and PyTorch files, of which only tensors are ever loaded.
Where it is known what was published, nothing else is read."""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from anyscene.errors import WeightsError
from anyscene.project import outputs
from anyscene.project.digests import sha256
from anyscene.weights import catalogue, pickled_arrays

# In a folder of weights, in the form of sha256sum. `anyscene weights fetch` writes it, and `make zoo`.
SUMS = "SHA256SUMS"
ABOVE = 3  # folders in which it may lie: that of a file, and those above
BLOCK = 1 << 20  # bytes that are read at a time
LIGHTNING = "pytorch_lightning."  # its checkpoints refer to its classes, in the keys of what callbacks store
READERS: dict[str, Callable[[Path], dict[str, torch.Tensor]]] = {
    ".safetensors": load_file,
    ".pkl": pickled_arrays.read,
}


def read(file: Path, source: str) -> dict[str, torch.Tensor]:
    """The tensors of a .safetensors file, of a .pkl file that holds a dict of NumPy's arrays, or of a PyTorch
    file that holds a state dict, or has one under "state_dict".

    No code in a file is run, and none of Lightning's. source: where to get the file, for the message.
    Raises WeightsError where the file is missing, truncated, not weights, not what was published, or holds
    anything but plain tensors of real numbers.
    """
    again = f"; get the file again from {source}"
    if not file.is_file():
        raise WeightsError(f"{file}: no such weights; get them from {source} and put them there")
    zipped = False
    try:
        if file.suffix in READERS:
            intact(file)
            return _plain(READERS[file.suffix](file), file, again)
        with file.open("rb") as stream:
            zipped = stream.read(2) == b"PK"
        # torch.load itself looks through the format from before PyTorch 1.6
        foreign = _foreign(file, again) if zipped else []
        if not intact(file) and zipped:
            require_sound(file)
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
    """`state`, checked. Raises WeightsError for a name that is not text, and for tensors that a network of
    plain tensors cannot take, or whose numbers it would misread."""
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


def require_sound(file: Path) -> None:
    """Raise BadZipFile where a part of a PyTorch file is not what its checksum says. PyTorch looks at no
    checksum, and writes 0 where it is told to compute none."""
    with zipfile.ZipFile(file) as archive:
        for part in archive.infolist():
            if part.CRC:
                with archive.open(part) as stream:
                    while stream.read(BLOCK):
                        pass


def _foreign(file: Path, again: str) -> list[str]:
    """The names of Lightning's classes that a PyTorch file refers to. Raises WeightsError where it refers to
    any others."""
    foreign = get_unsafe_globals_in_checkpoint(file)
    if strange := [name for name in foreign if not name.startswith(LIGHTNING)]:
        raise WeightsError(
            f"{file}: holds more than tensors ({', '.join(sorted(strange))}); nothing of it ran{again}"
        )
    return foreign


def intact(file: Path, digest: Callable[[Path], str] = sha256) -> bool:
    """Whether it is known what `file` should hold, and it does hold that. It is known from what was published
    under its name, or from SHA256SUMS beside it or above. Raises WeightsError where it is known
    and the file holds something else.

    digest: says the sha256; by default one that is remembered until the file changes."""
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
    found = digest(file)
    if found != wanted:
        raise WeightsError(
            f"{file}: damaged or not what was published (its sha256 is {found}, wanted {wanted}); nothing of "
            f"it ran; {_again(entry)}, {remedy}"
        )
    return True


def _again(entry: catalogue.PublishedWeights | None) -> str:
    if entry is None:
        return "get it again"
    if entry.repository or entry.url:
        return f"get it again (`anyscene weights fetch {entry.name}`, or {entry.source})"
    return f"get it again from {entry.source}"


def note(folder: Path, name: str, sha256: str) -> None:
    """Write a line about the file `name` into the SHA256SUMS of `folder`, in the place of an earlier one."""
    folder.mkdir(parents=True, exist_ok=True)
    sums = folder / SUMS
    lines = sums.read_text(errors="replace", encoding="utf-8").splitlines() if sums.is_file() else []
    lines = [line for line in lines if line.partition(" ")[2].lstrip(" *") != name]
    outputs.write(sums, "".join(f"{line}\n" for line in sorted([*lines, f"{sha256}  {name}"])))


def noted(file: Path) -> tuple[Path | None, str | None]:
    """(the SHA256SUMS that names `file`, its sha256 there); (None, None) where none does."""
    for folder in file.parents[:ABOVE]:
        sums = folder / SUMS
        if sums.is_file():
            for line in sums.read_text(errors="replace", encoding="utf-8").splitlines():
                digest, _, name = line.partition(" ")
                if name.lstrip(" *") == file.relative_to(folder).as_posix():
                    return sums, digest
    return None, None


def refuse_code(file: Path, source: str) -> None:
    """Raise WeightsError where `file`, which another library will load, is missing, is not what was
    published, or could run code. source: where to get it, for the message."""
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
