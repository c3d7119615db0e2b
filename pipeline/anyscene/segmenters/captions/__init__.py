"""Captions of masks: who writes them, and the sentences made of them."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

from anyscene.segmenters.captions.captioner import Captioner, ColourCaptioner

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anyscene.project.parameters import Params, Segmenters

# Who is asked by which name in `segmenters.captioner`. Each module has weights(section), find(section) and
# load(params). Modules are named, not imported: a change of one captioner leaves what others said as it is.
MODULES = {
    "colour": "anyscene.segmenters.captions.captioner",
    "blip": "anyscene.segmenters.captions.blip",
}


def load_captioner(params: Params, wanted: bool) -> Captioner:
    """The captioner that `segmenters.captioner` names; where none is `wanted`, one that needs no weights.
    Raises WeightsError for weights that are missing or damaged."""
    if not wanted:
        return ColourCaptioner()
    return importlib.import_module(MODULES[params.segmenters.captioner]).load(params)


def weights(section: Segmenters) -> Sequence[Path]:
    """The files and folders that the captioner reads."""
    return importlib.import_module(MODULES[section.captioner]).weights(section)


def find(section: Segmenters) -> str:
    """Where the captioner's weights were found, for people. Raises WeightsError that says what is missing and
    how to get it."""
    return importlib.import_module(MODULES[section.captioner]).find(section)
