"""Grounded SAM (Ren et al. 2024): Grounding DINO (Liu et al. 2024) finds the names of the vocabulary as
boxes, and SAM (Kirillov et al. 2023) the mask in each box. The former is transformers', the latter
segment-anything's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from segment_anything import SamPredictor

from anyscene.arrays import B1, U1
from anyscene.errors import DataError
from anyscene.project.device import Batches, autocast
from anyscene.project.parameters import Precision
from anyscene.segmenters import pretrained
from anyscene.segmenters.captions.captioner import Captioner
from anyscene.segmenters.captions.colour import ColourCaptioner
from anyscene.segmenters.grounded import FILES, find
from anyscene.segmenters.named_masks import MaskModel, NamedMasks, owners
from anyscene.segmenters.protocol import require_finite
from anyscene.weights import catalogue, sam

if TYPE_CHECKING:
    from transformers import GroundingDinoForObjectDetection, PreTrainedTokenizerBase

SOURCE = catalogue.get("grounded").source
CONFIDENCE = 0.3  # of a box, as Grounded SAM sets it
UNKNOWN = ("chair", "\U0001f984")  # the second one has no token of its own
LONGEST = 8  # times its shorter side is the most of an image: in a mere stripe DETR's queries have no places
BOXES = 32  # boxes that SAM is prompted with at a time


@dataclass(frozen=True)
class Prompt:
    """A text that lists names."""

    token: torch.Tensor  # i8[1, T]
    kind: torch.Tensor  # i8[1, T]
    mask: torch.Tensor  # i8[1, T]
    name: torch.Tensor  # i8[k], index into the vocabulary
    share: torch.Tensor  # f4[k, T], 1/n at each of the n tokens of a name


@dataclass(frozen=True)
class Detector:
    """Grounding DINO in transformers' form."""

    network: GroundingDinoForObjectDetection  # for inference
    tokenizer: PreTrainedTokenizerBase
    prepare: Any  # its image processor

    @property
    def length(self) -> int:
        """The most tokens that a text may have."""
        return int(self.network.config.max_text_len)


@dataclass(frozen=True)
class Boxes:
    """Boxes of one image."""

    box: torch.Tensor  # f4[n, 4]: left, top, right, bottom in pixels
    name: torch.Tensor  # i8[n], index into the vocabulary
    score: torch.Tensor  # f4[n] in 0..1


class GroundedSegmenter(MaskModel):
    """Grounding DINO and SAM behind the Segmenter protocol."""

    def __init__(
        self,
        name: str,
        detector: Detector,
        predictor: SamPredictor,
        device: torch.device,
        captioner: Captioner = ColourCaptioner(),
        confidence: float = CONFIDENCE,
        precision: Precision = "float32",
    ) -> None:
        """detector, predictor: Grounding DINO and SAM on `device`."""
        self.name, self.captioner, self._device, self._confidence = name, captioner, device, confidence
        self._precision, self._batches = precision, Batches(BOXES, "boxes of one image")
        self.detector, self.predictor = detector, predictor
        self._prompts: dict[tuple[str, ...], list[Prompt]] = {}

    @classmethod
    def load(cls, name: str, folder: Path, device: torch.device, **options: Any) -> GroundedSegmenter:
        """The models in `folder`, which holds FILES and a checkpoint of SAM. Nothing is ever downloaded.
        options: those of the constructor. Raises WeightsError where they cannot be loaded."""
        # only here, because transformers takes seconds to import
        from transformers import AutoTokenizer, GroundingDinoForObjectDetection, GroundingDinoImageProcessor

        checkpoint = find(folder)
        pretrained.require_intact(folder, FILES)
        pretrained.description(folder, ["grounding-dino"], SOURCE)
        tokenizer = pretrained.part(AutoTokenizer, folder, SOURCE)
        prepare = pretrained.part(GroundingDinoImageProcessor, folder, SOURCE)
        pretrained.try_out(prepare, folder, SOURCE)
        network = pretrained.network(GroundingDinoForObjectDetection, folder, SOURCE).to(device)
        predictor = SamPredictor(sam.read(checkpoint).to(device))
        detector = Detector(network, tokenizer, prepare)
        with pretrained.whole(folder, SOURCE):
            prompts(UNKNOWN, tokenizer, detector.length, device)
        return cls(name, detector, predictor, device, **options)

    def named(self, images: U1, vocabulary: Sequence[str]) -> Iterator[NamedMasks]:
        """The masks of each image u1[B, H, W, 3]. Images are taken one by one, since one of this size fills a
        GPU."""
        return (self._named(image, vocabulary) for image in images)

    @torch.inference_mode()
    def _named(self, image: U1, vocabulary: Sequence[str]) -> NamedMasks:
        """The masks of an image. Where masks overlap, that of the surer box owns the pixel."""
        found = self.boxes(image, vocabulary)
        mask = np.zeros((len(found.box), *image.shape[:2]), bool)
        if len(mask):
            with autocast(self._device, self._precision):
                self.predictor.set_image(image)
            self.predictor.features = self.predictor.features.float()
            box = self.predictor.transform.apply_boxes_torch(found.box, image.shape[:2])
            masks = self._batches(self._masks, box)
            np.concatenate(list(masks), out=mask)
        return NamedMasks(owners(mask, found.score.cpu().numpy()), found.name.cpu().numpy())

    def _masks(self, box: torch.Tensor) -> B1:  # [n, 4] -> b1[n, H, W]
        found, _, logits = self.predictor.predict_torch(None, None, boxes=box, multimask_output=False)
        require_finite(f"{self.name}, its SAM", "masks", logits)
        masks: B1 = found[:, 0].cpu().numpy()
        return masks

    @torch.inference_mode()
    def boxes(self, image: U1, vocabulary: Sequence[str]) -> Boxes:
        """The boxes in `image` u1[H, W, 3] that a token of a name is sure of. A box has the name whose tokens
        are most likely on average, as in Grounding DINO's own evaluation on COCO."""
        height, width = image.shape[:2]
        stretched = image.repeat(-(-width // (LONGEST * height)), 0).repeat(
            -(-height // (LONGEST * width)), 1
        )
        # stated, because an image of 3 rows might pass for one with channels first
        inputs = self.detector.prepare(
            images=[stretched], input_data_format="channels_last", return_tensors="pt"
        )
        size = torch.tensor([width, height, width, height], device=self._device)
        found = [Boxes(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), torch.zeros(0))]
        for prompt in self.asked(tuple(vocabulary)):
            with autocast(self._device, self._precision):
                answer = self.detector.network(
                    **inputs.to(self._device),
                    input_ids=prompt.token,
                    token_type_ids=prompt.kind,
                    attention_mask=prompt.mask,
                )
            logits = answer.logits[0, :, : prompt.token.shape[1]].float()  # beyond, -inf by design
            require_finite(self.name, "boxes", logits, answer.pred_boxes)
            probability = logits.sigmoid()  # [Q, T]
            score = (probability * (prompt.share > 0).any(0)).amax(1)
            sure = score > self._confidence
            name = prompt.name[(probability[sure] @ prompt.share.T).argmax(1)]
            centre, extent = answer.pred_boxes[0, sure].float().split(2, 1)
            box = torch.cat([centre - extent / 2, centre + extent / 2], 1) * size
            found.append(Boxes(box, name, score[sure]))
        return Boxes(
            *(
                torch.cat([getattr(one, part).to(self._device) for one in found])
                for part in ("box", "name", "score")
            )
        )

    def asked(self, vocabulary: tuple[str, ...]) -> list[Prompt]:
        """The texts that ask Grounding DINO for the names of `vocabulary`."""
        if vocabulary not in self._prompts:
            tokenizer, length = self.detector.tokenizer, self.detector.length
            self._prompts[vocabulary] = prompts(vocabulary, tokenizer, length, self._device)
        return self._prompts[vocabulary]


def prompts(
    vocabulary: Sequence[str], tokenizer: PreTrainedTokenizerBase, most: int, device: torch.device
) -> list[Prompt]:
    """ "chair. table.": as few texts as can hold all names, of at most `most` tokens each. In Grounding DINO
    only words between two full stops see each other, so names must not contain any. Raises DataError for a
    name that does not fit into a text."""
    plain = [" ".join(name.lower().replace(".", " ").replace("?", " ").split()) for name in vocabulary]
    texts: list[list[int]] = []
    left = 0
    for index, name in enumerate(plain):
        length = len(tokenizer(name, add_special_tokens=False)["input_ids"]) + 1  # and a full stop
        if length > most - 2:
            raise DataError(
                f"Grounding DINO reads texts of {most} tokens, and with begin, end and full stop "
                f"{vocabulary[index]!r} takes {length + 2}: give that class a shorter name"
            )
        if length > left:
            texts.append([])
            left = most - 2  # begin and end
        texts[-1].append(index)
        left -= length
    return [_prompt(some, plain, tokenizer, device) for some in texts]


def _prompt(
    some: Sequence[int], names: Sequence[str], tokenizer: PreTrainedTokenizerBase, device: torch.device
) -> Prompt:
    text, ends = "", []
    for index in some:
        text += ("" if not text else " ") + names[index]
        ends.append(len(text))
        text += "."
    encoded = tokenizer(text, return_offsets_mapping=True, return_token_type_ids=True, return_tensors="pt")
    first, last = encoded["offset_mapping"][0].T  # [T] characters that a token stands for
    end = torch.tensor(ends)[:, None]
    start = end - torch.tensor([len(names[index]) for index in some])[:, None]
    share = ((first < end) & (last > start) & (last > first)).float()  # [k, T]
    share /= share.sum(1, keepdim=True).clamp_min(1)
    parts = (
        encoded["input_ids"],
        encoded["token_type_ids"],
        encoded["attention_mask"],
        torch.tensor(some),
        share,
    )
    return Prompt(*(part.to(device) for part in parts))
