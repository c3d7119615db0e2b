"""Fetching published weights: a file arrives whole and checked, or not at all."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import huggingface_hub
import torch.hub

from anyscene.errors import FetchError, WeightsError
from anyscene.project import digests, outputs
from anyscene.weights import reading
from anyscene.weights.catalogue import File, PublishedWeights


def fetch(
    entry: PublishedWeights, root: Path, tell: Callable[[str], None], endpoint: str | None = None
) -> None:
    """Bring the files of `entry` into its folder under `root`, which is `segmenters.weights`.

    tell: it is called with a line about each file.
    endpoint: the address of another hub; None: Hugging Face's.

    A file gets its name only when it is whole and is what was published, or what the hub says that it holds;
    SHA256SUMS beside it notes its sha256. Files that are already there and are right stay. A download from
    the hub that was interrupted continues, others start again. Raises FetchError, and OutputError where the
    folder cannot be written.
    """
    folder, partial = root / entry.folder, root / f".{entry.name}.partial"
    if not entry.fetchable:
        raise FetchError(f"{entry.name} cannot be fetched: {entry.remedy}. It belongs in {folder}")
    for file in entry.files:
        path = folder / file.name
        if path.is_file() and _is_known(path):
            tell(f"{path}: is there, as it should be")
            continue
        outputs.check_folder(folder)
        try:
            partial.mkdir(parents=True, exist_ok=True)
            arrived, checked = _download(entry, file, partial, endpoint)
            path.parent.mkdir(parents=True, exist_ok=True)
            reading.note(folder, file.name, digests.sha256(arrived))
            arrived.replace(path)
        except FetchError:
            raise
        except Exception as error:  # sockets, HTTP, the hub and disks raise many kinds
            cause = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise FetchError(
                f"{path}: cannot be fetched ({cause}). Nothing was changed; run this again once there is a "
                f"network, or get {file.name} from {entry.source} on another machine and put it there"
            ) from error
        tell(f"{path}: {path.stat().st_size:,} bytes, {checked}")
    shutil.rmtree(partial, ignore_errors=True)


def _is_known(path: Path) -> bool:
    try:
        return reading.intact(path)
    except WeightsError:
        return False


def _download(entry: PublishedWeights, file: File, partial: Path, endpoint: str | None) -> tuple[Path, str]:
    """Download `file` into the folder `partial`; returns its path, and what it was checked by. Raises
    FetchError where it is not what was published."""
    if entry.repository is None or file.url is not None:
        arrived = partial / file.name
        arrived.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(file.url or f"{entry.url}/{file.name}", str(arrived))
        etag = None
    else:
        repository, revision = entry.repository, entry.revision
        url = huggingface_hub.hf_hub_url(repository, file.name, revision=revision, endpoint=endpoint)
        # this comes first: without a network the download itself would retry for half a minute
        etag = huggingface_hub.get_hf_file_metadata(url, endpoint=endpoint).etag
        arrived = Path(
            huggingface_hub.hf_hub_download(
                repository, file.name, local_dir=partial, revision=revision, endpoint=endpoint
            )
        )
    found = digests.sha256(arrived)
    for wanted, by in ((file.sha256, f"sha256 by {entry.sha256_from}"), (etag, "hash as the hub says")):
        if wanted is not None and (actual := _hash_like(wanted, arrived, found)) is not None:
            if actual != wanted:
                shutil.rmtree(partial)
                raise FetchError(
                    f"{entry.name}: {file.name} arrived with the hash {actual}, wanted {wanted}: damaged on "
                    "the way, or no longer what was published. It was deleted; run this again"
                )
            return arrived, by
    return arrived, "no hash is published; the one that arrived is noted"


def _hash_like(wanted: str, file: Path, sha256: str) -> str | None:
    """The hash of `file`, of the same kind as `wanted`: a sha256, or git's; None for any other kind."""
    if re.fullmatch("[0-9a-f]{64}", wanted):
        return sha256
    if re.fullmatch("[0-9a-f]{40}", wanted):
        content = file.read_bytes()
        return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()
    return None
