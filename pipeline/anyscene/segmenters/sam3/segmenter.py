"""SAM 3 (Carion et al. 2025), through transformers: the masks of everything that a name fits, one name after
the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

from anyscene.arrays import U1
from anyscene.project.device import autocast
from anyscene.project.parameters import Precision
from anyscene.segmenters import pretrained
from anyscene.segmenters.captions.captioner import Captioner
from anyscene.segmenters.captions.colour import ColourCaptioner
from anyscene.segmenters.named_masks import MaskModel, NamedMasks, owners
from anyscene.segmenters.protocol import require_finite
from anyscene.segmenters.sam3 import FILES
from anyscene.weights import catalogue

if TYPE_CHECKING:
    from transformers import Sam3Model

SOURCE = catalogue.get("sam3").source
KINDS = ("sam3_video", "sam3")  # the published weights also hold a tracker, which is left out
CONFIDENCE = 0.5  # of a mask, as in facebookresearch/sam3
TOKENS = 32  # the most tokens of a name


class Sam3Segmenter(MaskModel):
    """SAM 3 behind the Segmenter protocol."""

    def __init__(
        self,
        name: str,
        network: Sam3Model,
        device: torch.device,
        captioner: Captioner = ColourCaptioner(),
        confidence: float = CONFIDENCE,
        precision: Precision = "float32",
    ) -> None:
        """network: transformers' Sam3Model on `device`, for inference."""
        # only here, because transformers takes seconds to import
        from open_clip import tokenize
        from transformers import Sam3ImageProcessor

        self.name, self.captioner, self._device, self._confidence = name, captioner, device, confidence
        self.network, self._precision = network, precision
        side = network.config.image_size
        self._prepare = Sam3ImageProcessor(size={"height": side, "width": side})
        self._tokenize = tokenize  # CLIP's byte pairs, whose table comes with open_clip

    @classmethod
    def load(cls, name: str, folder: Path, device: torch.device, **options: Any) -> Sam3Segmenter:
        """The model in `folder`, which holds FILES. Nothing is ever downloaded. options: those of the
        constructor. Raises WeightsError where it cannot be loaded."""
        from transformers import Sam3Model

        catalogue.find("sam3", folder, FILES)
        pretrained.require_intact(folder, FILES)
        pretrained.description(folder, KINDS, SOURCE)
        network = pretrained.network(Sam3Model, folder, SOURCE).to(device)
        return cls(name, network, device, **options)

    def named(self, images: U1, vocabulary: Sequence[str]) -> Iterator[NamedMasks]:
        """The masks of each image u1[B, H, W, 3]. Images are taken one by one, since one of this size fills a
        GPU."""
        return (self._named(image, vocabulary) for image in images)

    @torch.inference_mode()
    def _named(self, image: U1, vocabulary: Sequence[str]) -> NamedMasks:
        """The masks of an image. Where masks overlap, whatever their names, the surer one owns the pixel."""
        # stated, because an image of 3 rows might pass for one with channels first
        inputs = self._prepare(images=[image], input_data_format="channels_last", return_tensors="pt")
        with autocast(self._device, self._precision):
            seen = self.network.get_vision_features(inputs["pixel_values"].to(self._device))
        masks = [np.zeros((0, *image.shape[:2]), bool)]
        scores, names = [np.zeros(0, np.float32)], [np.zeros(0, np.int64)]
        for index, name in enumerate(vocabulary):
            token = self._tokenize([name], TOKENS).to(self._device)  # [1, TOKENS]
            place = torch.arange(TOKENS, device=self._device)
            mask = (place <= token.argmax(1, keepdim=True)).long()  # the end has the highest number
            with autocast(self._device, self._precision):
                answer = self.network(vision_embeds=seen, input_ids=token, attention_mask=mask)
            require_finite(self.name, "masks", answer.pred_logits, answer.presence_logits, answer.pred_masks)
            # how likely a query is a thing of that name, times how likely there is any in the image
            score = answer.pred_logits[0].float().sigmoid() * answer.presence_logits[0].float().sigmoid()
            sure = score > self._confidence
            if sure.any():
                logit = answer.pred_masks[0, sure][None].float()
                mask = functional.interpolate(logit, image.shape[:2], mode="bilinear")[0] > 0
                masks.append(mask.cpu().numpy())
                scores.append(score[sure].cpu().numpy())
                names.append(np.full(len(mask), index))
        return NamedMasks(owners(np.concatenate(masks), np.concatenate(scores)), np.concatenate(names))
