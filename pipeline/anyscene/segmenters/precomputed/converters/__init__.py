"""What the scripts of other 2D models write -> the answers that a precomputed model is made of.

None of these models can be imported beside this project's packages: they ask for old versions of PyTorch or
for TensorFlow, and for compiled operators. docs/precomputed.md says which scripts write which files.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from anyscene.segmenters.precomputed.answer import Options, Reader
from anyscene.segmenters.precomputed.converters.openseg import OpenSeg
from anyscene.segmenters.precomputed.converters.panoptic import odise, seem
from anyscene.segmenters.precomputed.converters.tap import Tap
from anyscene.segmenters.precomputed.converters.writing import Summary, wanted, write

READERS: dict[str, Callable[[Path, Options], Reader]] = {
    "seem": seem,
    "odise": odise,
    "openseg": lambda folder, options: OpenSeg(folder, options.stride),
    "tap": lambda folder, options: Tap(folder),
}

__all__ = ["READERS", "Options", "Reader", "Summary", "wanted", "write"]
