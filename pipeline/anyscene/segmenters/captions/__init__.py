"""Captions of masks: what writes them, and the sentences that are made of them.

`segmenters.captioner` names a module of this folder that has ON_DEVICE, weights(section), find(section) and
load(params). It is imported only when it is needed, so that a change of one captioner makes nothing stale
that others said.
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
    Raises WeightsError where weights are missing or damaged."""
    if not wanted:
        return ColourCaptioner(params.text.template)
    captioner: Captioner = _imported(params.segmenters).load(params)
    return captioner


def module(section: Segmenters) -> str:
    """The module of the captioner that `segmenters.captioner` names."""
    return f"{__name__}.{section.captioner}"


def weights(section: Segmenters) -> Sequence[Path]:
    """The files and folders that the captioner reads."""
    files: Sequence[Path] = _imported(section).weights(section)
    return files


def on_device(section: Segmenters) -> bool:
    """Whether the captioner is computed on `runtime.device`."""
    return bool(_imported(section).ON_DEVICE)


def find(section: Segmenters) -> str:
    """Where the weights of the captioner were found, as a text. Raises WeightsError that says what is missing
    and how to get it."""
    return str(_imported(section).find(section))


def _imported(section: Segmenters) -> Any:
    return importlib.import_module(module(section))
