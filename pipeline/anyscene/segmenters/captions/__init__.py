"""Captions of masks: who writes them, and the sentences made of them.

`segmenters.captioner` is the name of a module here that has weights(section), find(section) and load(params).
It is imported when it is asked for: a change of one captioner leaves what others said as it is.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anyscene.segmenters.captions.captioner import Captioner
from anyscene.segmenters.captions.colour import ColourCaptioner

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anyscene.project.parameters import Params, Segmenters


def load_captioner(params: Params, wanted: bool) -> Captioner:
    """The captioner that `segmenters.captioner` names; where none is `wanted`, one that needs no weights.
    Raises WeightsError for weights that are missing or damaged."""
    if not wanted:
        return ColourCaptioner()
    captioner: Captioner = _imported(params.segmenters).load(params)
    return captioner


def module(section: Segmenters) -> str:
    """The module of the captioner that `segmenters.captioner` names."""
    return f"{__name__}.{section.captioner}"


def weights(section: Segmenters) -> Sequence[Path]:
    """The files and folders that the captioner reads."""
    files: Sequence[Path] = _imported(section).weights(section)
    return files


def find(section: Segmenters) -> str:
    """Where the captioner's weights were found, for people. Raises WeightsError that says what is missing and
    how to get it."""
    return str(_imported(section).find(section))


def _imported(section: Segmenters) -> Any:
    return importlib.import_module(module(section))
