"""2D open-vocabulary models behind one protocol."""

from __future__ import annotations

from pathlib import Path

from pipeline.config import Params
from pipeline.device import choose_device
from pipeline.errors import ConfigError
from pipeline.segmenters import precomputed
from pipeline.segmenters.captioner import Captioner, ColourCaptioner
from pipeline.segmenters.protocol import CaptionMap, FeatureMap, Segmenter
from pipeline.text import load_text_encoder

__all__ = ["NAMES", "CaptionMap", "FeatureMap", "Segmenter", "load_segmenter"]

# besides those that are precomputed
NAMES = ("dense", "grounded", "lseg", "mask", "mask2former", "maskclip", "oneformer", "sam3")


def load_segmenter(name: str, params: Params, captions: bool = True) -> Segmenter:
    """The 2D model that params.yaml knows as `name`, with its weights under `segmenters.weights`/name.

    `captions`: whether it will be asked to describe images; labels alone need no captioner's weights.
    Raises ConfigError for a name that no model has, WeightsError for weights that cannot be loaded.
    """
    # models import only what they need: another model's packages may be missing
    folder = Path(params.segmenters.weights) / name
    if (folder / precomputed.DESCRIPTION).is_file():
        captions = captions and precomputed.wants_captioner(folder)
        captioner = _captioner(params) if captions else ColourCaptioner()
        return precomputed.PrecomputedSegmenter(name, folder, load_text_encoder(params.text), captioner)
    if name == "dense":
        from pipeline.segmenters.dense import DenseSegmenter

        return DenseSegmenter(name, folder, load_text_encoder(params.text))
    if name == "mask":
        from pipeline.segmenters.mask import MaskSegmenter

        captioner = _captioner(params) if captions else ColourCaptioner()
        return MaskSegmenter(name, folder, load_text_encoder(params.text), captioner)
    if name == "lseg":
        from pipeline.segmenters import lseg

        file = lseg.find(folder)  # a missing file is said before a text encoder is loaded
        device = choose_device(params.runtime.device)
        return lseg.LsegSegmenter(name, file, load_text_encoder(params.text), params.segmenters.lseg, device)
    if name in ("mask2former", "oneformer"):
        from pipeline.segmenters import universal

        universal.find(name, folder)
        text, device = load_text_encoder(params.text), choose_device(params.runtime.device)
        captioner = _captioner(params) if captions else ColourCaptioner()
        return universal.UniversalSegmenter(name, folder, text, device, captioner)
    if name == "grounded":
        from pipeline.segmenters import grounded

        grounded.find(folder)
        captioner = _captioner(params) if captions else ColourCaptioner()
        return grounded.GroundedSegmenter(name, folder, choose_device(params.runtime.device), captioner)
    if name == "sam3":
        from pipeline.segmenters import sam3

        sam3.find(folder)
        captioner = _captioner(params) if captions else ColourCaptioner()
        return sam3.Sam3Segmenter(name, folder, choose_device(params.runtime.device), captioner)
    if name == "maskclip":
        from pipeline.segmenters import maskclip

        tower = maskclip.load_tower(params.text.encoder)
        text, device = load_text_encoder(params.text), choose_device(params.runtime.device)
        return maskclip.MaskClipSegmenter(name, tower, text, params.segmenters.maskclip, device)
    raise ConfigError(
        f"segmenters.names: no 2D model is called {name!r}; known: {', '.join(NAMES)}, and any whose "
        f"answers lie in {folder} (docs/precomputed.md)"
    )


def _captioner(params: Params) -> Captioner:
    if params.segmenters.captioner == "colour":
        return ColourCaptioner()
    from pipeline.segmenters.blip import BlipCaptioner

    return BlipCaptioner(Path(params.segmenters.weights) / "blip", choose_device(params.runtime.device))
