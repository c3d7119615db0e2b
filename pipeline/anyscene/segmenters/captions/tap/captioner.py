"""TAP as a captioner, as SAS asks it (point_feat_extraction/seem_feat/TAP/infer.py, Predictor of TAP's
scripts/app_gradio.py): the longer side of an image becomes 1024 pixels, bilinearly; each mask is asked for by
its deepest point; of the masks that TAP sees there, the text is that of the one whose expected IoU is highest
among those for points. The adjectives of the text are kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sentencepiece import SentencePieceProcessor

from anyscene.arrays import B1, F4, U1
from anyscene.errors import WeightsError
from anyscene.project.device import autocast
from anyscene.project.parameters import Precision
from anyscene.segmenters.captions import noun_phrase
from anyscene.segmenters.captions.tap import SOURCE, TOKENIZER, checkpoint, network, prompts
from anyscene.segmenters.protocol import require_finite
from anyscene.text import TEMPLATE
from anyscene.weights import reading

FILLING = (123, 116, 103)  # the mean colour as whole numbers, with which TAP's script fills an image up
REGIONS = 16  # prompts at a time: the decoder has the whole image once for each


class TapCaptioner:
    """TAP behind the Captioner protocol."""

    def __init__(
        self,
        network: network.Tap,
        tokenizer: SentencePieceProcessor,
        device: torch.device,
        precision: Precision = "float32",
        template: str = TEMPLATE,
    ) -> None:
        """network: for inference on `device`. template: the sentence in which what it describes stands."""
        self.template = template
        self.network, self._tokenizer = network, tokenizer
        self._device, self._precision = device, precision

    @classmethod
    def load(
        cls,
        folder: Path,
        device: torch.device,
        precision: Precision = "float32",
        template: str = TEMPLATE,
        architectures: tuple[network.TapSizes, ...] = network.PUBLISHED,
    ) -> TapCaptioner:
        """TAP from `folder`, which holds a checkpoint and TOKENIZER. Raises WeightsError where they cannot be
        loaded."""
        file = checkpoint(folder)
        loaded = network.load(reading.read(file, SOURCE), file, SOURCE, architectures).to(device)
        return cls(loaded, tokenizer(folder / TOKENIZER, loaded), device, precision, template)

    def modifiers(self, image: U1, masks: Sequence[B1]) -> list[str]:
        """The adjectives of the caption of each of `masks` b1[H, W] of `image` u1[H, W, 3]: "brown wooden";
        "" for an empty one."""
        asked = [mask for mask in masks if mask.any()]
        said = iter(self.captions(image, asked))
        return [noun_phrase.modifiers(next(said)) if mask.any() else "" for mask in masks]

    @torch.inference_mode()
    def captions(self, image: U1, masks: Sequence[B1]) -> list[str]:
        """The caption of each of `masks` b1[H, W] of `image` u1[H, W, 3]."""
        if not masks:
            return []
        square, scale = fitted(image, self.network.sizes.image)
        places, kinds = (np.stack(one) for one in zip(*map(prompts.prompt, masks), strict=True))
        place, kind = (torch.from_numpy(one).to(self._device) for one in (places * np.float32(scale), kinds))
        with autocast(self._device, self._precision):
            (seen,) = self.network.encode(torch.from_numpy(square).to(self._device)[None])
            pairs = zip(place.split(REGIONS), kind.split(REGIONS), strict=True)
            token = torch.cat([self._tokens(seen, *pair) for pair in pairs])
            bounds = self._tokenizer.bos_id(), self._tokenizer.eos_id()
            texts = self.network.text_decoder(token, *bounds)
        return [str(self._tokenizer.decode(text)) for text in texts]

    def _tokens(self, seen: torch.Tensor, place: torch.Tensor, kind: torch.Tensor) -> torch.Tensor:
        """f4[N, D]: the tokens from which the texts of N prompts are decoded."""
        regions = self.network.regions(seen, place, kind)
        require_finite("tap", "tokens of masks", regions.iou, regions.meaning)
        best = 1 + regions.iou[:, 1:].argmax(1)
        return regions.meaning[torch.arange(len(best)), best]


def fitted(image: U1, side: int) -> tuple[F4, float]:
    """`image` u1[H, W, 3] in the upper left of f4[3, side, side], as large as it fits, and how much larger it
    became."""
    scale = side / min(image.shape[:2])
    if round(scale * max(image.shape[:2])) > side:
        scale = side / max(image.shape[:2])
    height, width = (int(length * scale + 0.5) for length in image.shape[:2])
    square = np.full((side, side, 3), FILLING, np.uint8)
    resized = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
    square[:height, :width] = np.asarray(resized)
    return square.transpose(2, 0, 1).astype(np.float32), scale


def tokenizer(file: Path, network: network.Tap) -> SentencePieceProcessor:
    """The tokenizer in `file`. Raises WeightsError where it is missing, damaged, or of another network."""
    again = f"; get it again from {SOURCE}"
    if not file.is_file():
        raise WeightsError(f"{file}: no such tokenizer; `anyscene weights fetch tap` gets it")
    reading.intact(file)
    try:
        found = SentencePieceProcessor(model_file=str(file))
    except Exception as error:  # RuntimeError, OSError
        raise WeightsError(f"{file}: damaged tokenizer ({error}){again}") from error
    if found.vocab_size() != network.sizes.words or min(found.bos_id(), found.eos_id()) < 0:
        raise WeightsError(
            f"{file}: {found.vocab_size()} words, of which TAP knows {network.sizes.words}, or no beginning "
            f"and end{again}"
        )
    return found
