"""Files of other 2D models' scripts -> the answers of a precomputed model.

None of these models can be imported beside the packages of this project: they need old versions of PyTorch,
or TensorFlow, and compiled operators. docs/precomputed.md says which scripts write which files.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from anyscene.segmenters.precomputed.answer import Options, Reader
from anyscene.segmenters.precomputed.converters.writing import Conversion, wanted, write


def _seem(folder: Path, options: Options) -> Reader:
    from anyscene.segmenters.precomputed.converters.panoptic import seem

    return seem(folder, options)


def _odise(folder: Path, options: Options) -> Reader:
    from anyscene.segmenters.precomputed.converters.panoptic import odise

    return odise(folder, options)


def _openseg(folder: Path, options: Options) -> Reader:
    from anyscene.segmenters.precomputed.converters.openseg import OpenSegAnswers

    return OpenSegAnswers(folder, options.stride)


def _tap(folder: Path, options: Options) -> Reader:
    from anyscene.segmenters.precomputed.converters.tap import TapAnswers

    return TapAnswers(folder)


# each imports its module, and so PyTorch, only when it is called
READERS: dict[str, Callable[[Path, Options], Reader]] = {
    "seem": _seem,
    "odise": _odise,
    "openseg": _openseg,
    "tap": _tap,
}

__all__ = ["READERS", "Conversion", "Options", "Reader", "wanted", "write"]
