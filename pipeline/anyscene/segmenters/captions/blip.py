"""BLIP (Li et al. 2022) as a captioner, through transformers. It describes the part of the image around a
mask, and the adjectives of what it says are kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from anyscene.arrays import B1, U1
from anyscene.project.device import autocast
from anyscene.project.parameters import Precision
from anyscene.segmenters import pretrained
from anyscene.segmenters.captions import noun_phrase
from anyscene.segmenters.entry import device_of
from anyscene.text import TEMPLATE
from anyscene.weights import catalogue

if TYPE_CHECKING:
    from transformers import BlipForConditionalGeneration, PreTrainedTokenizerBase

    from anyscene.project.parameters import Params, Segmenters

FILES = ("config.json", "preprocessor_config.json", "tokenizer.json", catalogue.TENSORS)
NAME = "blip"  # of its weights in the catalogue
SOURCE = catalogue.get(NAME).source
PROMPT = "a picture of"  # prompt, beams and length are BLIP's own settings for COCO captions
BEAMS = 3
LENGTH = 20  # tokens
ON_DEVICE = True
MARGIN = 0.1  # a share of the mask's bounding box, added on each side


def weights(section: Segmenters) -> Sequence[Path]:
    """The folder of BLIP."""
    return (Path(section.weights) / NAME,)


def find(section: Segmenters) -> str:
    """The folder of BLIP. Raises WeightsError that says which file is missing and where to get it."""
    return str(_whole(Path(section.weights) / NAME))


def load(params: Params) -> BlipCaptioner:
    """BLIP on the device of `params`. Raises WeightsError where it cannot be loaded."""
    (folder,) = weights(params.segmenters)
    return BlipCaptioner.load(folder, device_of(params), params.segmenters.precision, params.text.template)


def _whole(folder: Path) -> Path:
    return catalogue.find(NAME, folder, FILES, without="set `segmenters.captioner: colour`")


class BlipCaptioner:
    """BLIP behind the Captioner protocol."""

    def __init__(
        self,
        network: BlipForConditionalGeneration,
        tokenizer: PreTrainedTokenizerBase,
        prepare: Any,
        device: torch.device,
        precision: Precision = "float32",
        template: str = TEMPLATE,
    ) -> None:
        """network, tokenizer, prepare: transformers' model for inference on `device`, its tokenizer and its
        image processor. template: the sentence in which what it describes stands."""
        self.template = template
        self.network, self._tokenizer, self._prepare = network, tokenizer, prepare
        self._device, self._precision = device, precision
        self._prompt = tokenizer(PROMPT, return_tensors="pt")["input_ids"].to(device)

    @classmethod
    def load(
        cls,
        folder: Path,
        device: torch.device,
        precision: Precision = "float32",
        template: str = TEMPLATE,
    ) -> BlipCaptioner:
        """BLIP from `folder`, which holds FILES. Nothing is ever downloaded. Raises WeightsError where it
        cannot be loaded."""
        _whole(folder)
        pretrained.require_intact(folder, FILES)
        # only here, because transformers takes seconds to import
        from transformers import AutoTokenizer, BlipForConditionalGeneration, BlipImageProcessor

        pretrained.description(folder, ["blip"], SOURCE)
        tokenizer = pretrained.part(AutoTokenizer, folder, SOURCE)
        prepare = pretrained.part(BlipImageProcessor, folder, SOURCE)
        network = pretrained.network(BlipForConditionalGeneration, folder, SOURCE).to(device)
        return cls(network, tokenizer, prepare, device, precision, template)

    def modifiers(self, image: U1, masks: Sequence[B1]) -> list[str]:
        """The adjectives of the caption of `image` u1[H, W, 3] around each of `masks` b1[H, W]: "brown
        wooden"; "" for an empty mask."""
        return [
            noun_phrase.modifiers(self.caption(image[crop(mask)])) if mask.any() else "" for mask in masks
        ]

    @torch.inference_mode()
    def caption(self, image: U1) -> str:
        """The caption of `image` u1[h, w, 3]. Images are described one by one, so that none depends on
        others."""
        # stated, because an image of 3 rows might pass for one with channels first
        inputs = self._prepare(images=[image], input_data_format="channels_last", return_tensors="pt")
        with autocast(self._device, self._precision):
            tokens = self.network.generate(
                pixel_values=inputs["pixel_values"].to(self._device),
                input_ids=self._prompt.clone(),  # its first token is overwritten
                num_beams=BEAMS,
                do_sample=False,
                max_new_tokens=LENGTH,
            )
        return str(self._tokenizer.decode(tokens[0], skip_special_tokens=True))


def crop(mask: B1) -> tuple[slice, slice]:
    """The rows and columns of the bounding box of `mask` b1[H, W], which is not empty, with a margin inside
    the image."""
    slices = []
    for axis, length in zip((1, 0), mask.shape, strict=True):
        places = np.flatnonzero(mask.any(axis))
        margin = round(MARGIN * (places[-1] + 1 - places[0]))
        slices.append(slice(max(0, int(places[0]) - margin), min(length, int(places[-1]) + 1 + margin)))
    return slices[0], slices[1]
