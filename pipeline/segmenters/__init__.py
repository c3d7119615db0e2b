"""2D open-vocabulary models behind one protocol."""

from __future__ import annotations

from pathlib import Path

import torch

from pipeline.config import Params
from pipeline.errors import ConfigError
from pipeline.segmenters import precomputed
from pipeline.segmenters.protocol import CaptionMap, FeatureMap, Segmenter
from pipeline.text import load_text_encoder

__all__ = ["NAMES", "CaptionMap", "FeatureMap", "Segmenter", "load_segmenter"]

NAMES = (
    "dense",
    "lseg",
    "mask",
    "mask2former",
    "maskclip",
    "oneformer",
)  # besides those that are precomputed


def load_segmenter(name: str, params: Params) -> Segmenter:
    """The 2D model that params.yaml knows as `name`, with its weights under `segmenters.weights`/name.

    Raises ConfigError for a name that no model has, WeightsError for weights that cannot be loaded.
    """
    # models import only what they need: another model's packages may be missing
    folder = Path(params.segmenters.weights) / name
    if (folder / precomputed.DESCRIPTION).is_file():
        return precomputed.PrecomputedSegmenter(name, folder, load_text_encoder(params.text))
    if name == "dense":
        from pipeline.segmenters.dense import DenseSegmenter

        return DenseSegmenter(name, folder, load_text_encoder(params.text))
    if name == "mask":
        from pipeline.segmenters.mask import MaskSegmenter

        return MaskSegmenter(name, folder, load_text_encoder(params.text))
    if name == "lseg":
        from pipeline.segmenters import lseg

        file = lseg.find(folder)  # a missing file is said before a text encoder is loaded
        device = _device(params.runtime.device)
        return lseg.LsegSegmenter(name, file, load_text_encoder(params.text), params.segmenters.lseg, device)
    if name in ("mask2former", "oneformer"):
        from pipeline.segmenters import universal

        universal.find(name, folder)
        text, device = load_text_encoder(params.text), _device(params.runtime.device)
        return universal.UniversalSegmenter(name, folder, text, device)
    if name == "maskclip":
        from pipeline.segmenters import maskclip

        tower = maskclip.load_tower(params.text.encoder)
        text, device = load_text_encoder(params.text), _device(params.runtime.device)
        return maskclip.MaskClipSegmenter(name, tower, text, params.segmenters.maskclip, device)
    raise ConfigError(
        f"segmenters.names: no 2D model is called {name!r}; known: {', '.join(NAMES)}, and any whose "
        f"answers lie in {folder} (docs/precomputed.md)"
    )


def _device(name: str) -> torch.device:
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
