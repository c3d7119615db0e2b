"""Published models in transformers' form: files in a local folder, nothing downloaded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from pipeline.segmenters import weights


def find(name: str, folder: Path, files: Sequence[str], source: str) -> Path:
    """The `folder` of the 2D model `name`. Raises WeightsError saying which file is missing and where it is
    had."""
    for file in files:
        if not (folder / file).is_file():
            raise weights.WeightsError(
                f"{folder / file}: no such weights; get {', '.join(files)} from {source} and put them there, "
                f"or go on without: take `{name}` out of segmenters.names"
            )
    return folder


def described(folder: Path, kinds: Sequence[str], source: str) -> dict[str, Any]:
    """What config.json in `folder` says. Raises WeightsError unless it is of one of `kinds`."""
    file = folder / "config.json"
    try:
        config = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise weights.WeightsError(f"{file}: not readable ({error}); get it again from {source}") from error
    found = config.get("model_type") if isinstance(config, dict) else None
    if found not in kinds:
        raise weights.WeightsError(
            f"{file}: describes a {found!r} model, wanted {kinds[0]}; get it again from {source}"
        )
    return config


def network(kind: Any, folder: Path, source: str) -> torch.nn.Module:
    """The model class `kind` with the weights of `folder`, for inference. Raises WeightsError."""
    try:
        loaded, report = kind.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    except Exception as error:  # transformers and safetensors raise many kinds for broken folders
        raise weights.WeightsError(
            f"{folder}: damaged weights ({error}); get the folder again from {source}"
        ) from error
    if report["missing_keys"]:  # transformers would go on with random values
        raise weights.WeightsError(
            f"{folder / weights.TENSORS}: weights of another architecture: {min(report['missing_keys'])} is "
            f"missing; get the folder again from {source}"
        )
    return loaded.eval().requires_grad_(False)


def part(kind: Any, folder: Path, source: str) -> Any:
    """A tokenizer or image processor of the class `kind` from `folder`. Raises WeightsError."""
    try:
        return kind.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # as above
        raise weights.WeightsError(
            f"{folder}: damaged weights ({error}); get the folder again from {source}"
        ) from error
