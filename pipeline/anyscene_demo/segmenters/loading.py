"""What the demo's 2D models have in common when they are read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from anyscene.errors import WeightsError
from anyscene.text import TextEncoder
from anyscene.weights import described

SIDES = range(16, 2049)  # pixels of the shorter side of an image that a model may see


def read(
    folder: Path, kind: str, text: TextEncoder
) -> tuple[dict[str, Any], Mapping[str, Any], dict[str, torch.Tensor]]:
    """(description, architecture, tensors) of the model of a kind in `folder`. Raises WeightsError where it
    is damaged, of another kind, or of another text space."""
    description, tensors = described.read(folder)
    architecture = description.get("architecture")
    if not isinstance(architecture, dict) or architecture.get("side") not in SIDES:
        raise WeightsError(
            f"{folder / described.DESCRIPTION}: damaged, says no architecture with a side of {SIDES[0]} to "
            f"{SIDES[-1]} pixels; restore the folder from the repository or run `make zoo`"
        )
    if architecture.get("kind") != kind or architecture.get("width") != text.width:
        raise WeightsError(
            f"{folder}: holds a {architecture.get('kind')!r} model of width {architecture.get('width')}, "
            f"wanted a {kind} one in the {text.width} wide text space of {text.name}"
        )
    return description, architecture, tensors
