"""2D open-vocabulary models behind one protocol."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from anyscene.errors import ConfigError
from anyscene.project.device import choose_device
from anyscene.project.parameters import Params
from anyscene.segmenters.captions.captioner import Captioner, ColourCaptioner
from anyscene.segmenters.precomputed import image_index
from anyscene.segmenters.precomputed import segmenter as precomputed
from anyscene.segmenters.protocol import CaptionMap, FeatureMap, Segmenter
from anyscene.text import load_text_encoder

__all__ = ["NAMES", "CaptionMap", "FeatureMap", "Segmenter", "load_segmenter", "require_answers"]

# besides those that are precomputed
NAMES = ("dense", "grounded", "lseg", "mask", "mask2former", "maskclip", "oneformer", "sam3")


def load_segmenter(name: str, params: Params, captions: bool = True) -> Segmenter:
    """The 2D model that params.yaml knows as `name`, with its weights under `segmenters.weights`/name.

    `captions`: whether it will be asked to describe images; labels alone need no captioner's weights.
    Raises ConfigError for a name that no model has, WeightsError for weights that cannot be loaded.
    """
    segmenter = _load(name, params, captions)
    if params.segmenters.precision != "float32":  # with captions, of the captioner too
        segmenter.version += f"-{params.segmenters.precision}"
    return segmenter


def require_answers(segmenter: Segmenter, states: Mapping[str, str], index: Path = image_index.INDEX) -> None:
    """Raises DataError where `segmenter` ran elsewhere and has no answer for images of `index` whose scene or
    class is in the state (shown.state) that `states` tells. Of others it is known when they are asked for."""
    if isinstance(segmenter, precomputed.PrecomputedSegmenter):
        segmenter.require(image_index.noted(index, states))


def _load(name: str, params: Params, captions: bool) -> Segmenter:
    # models import only what they need: another model's packages may be missing; and a missing file is said
    # before a text encoder is loaded
    section = params.segmenters
    folder, precision = Path(section.weights) / name, section.precision
    if (folder / precomputed.DESCRIPTION).is_file():
        captioner = _captioner(params, captions and precomputed.wants_captioner(folder))
        return precomputed.PrecomputedSegmenter(name, folder, load_text_encoder(params.text), captioner)
    if name == "dense":
        from anyscene_demo.segmenters.dense import DenseSegmenter

        return DenseSegmenter(name, folder, load_text_encoder(params.text), precision)
    if name == "mask":
        from anyscene_demo.segmenters.mask import MaskSegmenter

        text, captioner = load_text_encoder(params.text), _captioner(params, captions)
        return MaskSegmenter(name, folder, text, captioner, precision)
    if name == "lseg":
        from anyscene.segmenters.lseg import segmenter as lseg

        file = lseg.find(folder)
        text, device = load_text_encoder(params.text), _device(params)
        return lseg.LsegSegmenter(name, file, text, section.lseg, device, precision=precision)
    if name in ("mask2former", "oneformer"):
        from anyscene.segmenters import universal

        universal.find(name, folder)
        text, captioner = load_text_encoder(params.text), _captioner(params, captions)
        return universal.UniversalSegmenter(
            name, folder, text, _device(params), captioner, precision=precision
        )
    if name == "grounded":
        from anyscene.segmenters import grounded

        grounded.find(folder)
        captioner = _captioner(params, captions)
        return grounded.GroundedSegmenter(name, folder, _device(params), captioner, precision=precision)
    if name == "sam3":
        from anyscene.segmenters import sam3

        sam3.find(folder)
        captioner = _captioner(params, captions)
        return sam3.Sam3Segmenter(name, folder, _device(params), captioner, precision=precision)
    if name == "maskclip":
        from anyscene.segmenters import maskclip

        tower = maskclip.load_tower(params.text.encoder)
        text, device = load_text_encoder(params.text), _device(params)
        return maskclip.MaskClipSegmenter(name, tower, text, section.maskclip, device, precision)
    raise ConfigError(
        f"segmenters.names: no 2D model is called {name!r}; known: {', '.join(NAMES)}, and any whose "
        f"answers lie in {folder} (docs/precomputed.md)"
    )


def _captioner(params: Params, wanted: bool) -> Captioner:
    if params.segmenters.captioner == "colour" or not wanted:
        return ColourCaptioner()
    from anyscene.segmenters.captions.blip import BlipCaptioner

    folder = Path(params.segmenters.weights) / "blip"
    return BlipCaptioner(folder, _device(params), params.segmenters.precision)


def _device(params: Params) -> torch.device:
    return choose_device(params.runtime.device, params.runtime.device_memory_gib)
