"""Depth of which the device says how sure it is."""

from __future__ import annotations

import numpy as np

from anyscene.arrays import Array
from anyscene.datasets.imports.source_frame import ExportFile, numbers


def sure(source: ExportFile, *, confidence: ExportFile, least: int) -> Array:
    """The depth map in `source`, 0 where the map of bytes `confidence` is below `least`. Raises ValueError
    where their sizes differ."""
    depth, confident = numbers(source), numbers(confidence)
    if confident.shape != depth.shape or confident.dtype != np.uint8:
        raise ValueError(
            f"its confidence is {confident.dtype}{list(confident.shape)}, not uint8{list(depth.shape)}"
        )
    return np.where(confident >= least, depth, 0).astype(depth.dtype)
