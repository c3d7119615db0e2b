"""Mask2Former (Cheng et al. 2022) and OneFormer (Jain et al. 2023), through transformers.

Both answer with queries, each of which is a class and a mask. Their classes are those that they were trained
with (COCO, ADE20K). Where a class has several names, captions say the first, and the closest of them counts
when it becomes a name of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from anyscene.arrays import I8, U1
from anyscene.errors import WeightsError
from anyscene.project.device import autocast, passes
from anyscene.project.parameters import CaptionNouns, Precision
from anyscene.segmenters import pretrained
from anyscene.segmenters.captions.captioner import Captioner
from anyscene.segmenters.captions.colour import ColourCaptioner
from anyscene.segmenters.class_names import names
from anyscene.segmenters.named_masks import LabelledMaskModel, NamedMasks
from anyscene.segmenters.panoptic import panoptic
from anyscene.segmenters.protocol import require_finite
from anyscene.segmenters.universal import FILES
from anyscene.text import TextEncoder, embeddings
from anyscene.weights import catalogue

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TASK = "the task is panoptic"  # OneFormer takes its task as a text
CONFIDENCE = 0.8  # of the class of a query; this and the next are as in both official codes and in SEEM's
OVERLAP = 0.8  # the share of a mask that better ones must leave to it


class UniversalSegmenter(LabelledMaskModel):
    """Mask2Former or OneFormer behind the Segmenter protocol."""

    def __init__(
        self,
        name: str,
        network: PreTrainedModel,
        prepare: Any,
        text: TextEncoder,
        device: torch.device,
        captioner: Captioner = ColourCaptioner(),
        nouns: CaptionNouns = "own",
        confidence: float = CONFIDENCE,
        overlap: float = OVERLAP,
        precision: Precision = "float32",
    ) -> None:
        """name: mask2former or oneformer. network, prepare: transformers' model for inference on `device`,
        and its image processor."""
        self.name, self.captioner, self.nouns = name, captioner, nouns
        self._confidence, self._overlap = confidence, overlap
        self.text, self._device, self._precision = text, device, precision
        self.network, self._prepare = network, prepare
        config = network.config
        own = [names(config.id2label[number]) for number in range(len(config.id2label))]
        self._first = np.cumsum([0, *map(len, own)])[:-1]  # [L] row of each class's first name
        self.labels = tuple(some[0] for some in own)
        every = [one for some in own for one in some]
        self._every = embeddings(text, every, captioner.template)  # [names, C]
        self._extra = {}
        if name == "oneformer":
            # CLIP's byte pairs, 0 after the end, as OneFormerProcessor makes them; their table comes with
            # open_clip
            from open_clip import tokenize

            self._extra = {"task_inputs": tokenize([TASK], config.task_seq_len).to(device)}

    @classmethod
    def load(
        cls, name: str, folder: Path, text: TextEncoder, device: torch.device, **options: Any
    ) -> UniversalSegmenter:
        """The model in `folder`, which holds FILES. Nothing is ever downloaded. options: those of the
        constructor. Raises WeightsError where it cannot be loaded."""
        catalogue.find(name, folder, FILES)
        pretrained.require_intact(folder, FILES)
        network, prepare = _load(name, folder)
        return cls(name, network.to(device), prepare, text, device, **options)

    @torch.inference_mode()
    def labelled(self, images: U1) -> Iterator[NamedMasks]:
        """The masks of each image u1[B, H, W, 3]. A pixel that no mask is sure of is in none."""
        for some in passes(images, self._device):
            for classes, masks in zip(*self.queries(some), strict=True):
                owner, label = panoptic(classes, masks, some.shape[1:3], self._confidence, self._overlap)
                yield NamedMasks(owner, label)

    def closest(self, vocabulary: Sequence[str]) -> I8:
        """i8[L]: the name of the vocabulary that is closest to any name of each class."""
        similarity = self._every @ embeddings(self.text, vocabulary, self.captioner.template).T  # [names, K]
        name: I8 = np.maximum.reduceat(similarity, self._first).argmax(1)
        return name

    def queries(self, images: U1) -> tuple[torch.Tensor, torch.Tensor]:
        """The logits of the classes [B, Q, L + 1] and of the masks [B, Q, h, w] for images u1[B, H, W, 3]."""
        # stated, because an image of 3 rows might pass for one with channels first
        inputs = self._prepare(images=list(images), input_data_format="channels_last", return_tensors="pt")
        extra = {name: value.expand(len(images), -1) for name, value in self._extra.items()}
        with autocast(self._device, self._precision):
            found = self.network(pixel_values=inputs["pixel_values"].to(self._device), **extra)
        require_finite(self.name, "masks", found.class_queries_logits, found.masks_queries_logits)
        return found.class_queries_logits, found.masks_queries_logits


def _load(name: str, folder: Path) -> tuple[PreTrainedModel, Any]:
    """The network and its image processor. Raises WeightsError where they cannot be loaded."""
    import transformers

    kind, source = {"mask2former": "Mask2Former", "oneformer": "OneFormer"}[name], catalogue.get(name).source
    config = pretrained.description(folder, [name], source)
    labels = config.get("id2label")
    numbered = isinstance(labels, dict) and labels.keys() == {str(number) for number in range(len(labels))}
    if not labels or not numbered or not all(isinstance(label, str) for label in labels.values()):
        raise WeightsError(
            f"{folder / FILES[0]}: id2label, a text for each class from 0 on, is missing or has gaps; get it "
            f"again from {source}"
        )
    settings = pretrained.read_json(folder / FILES[1], source)
    # classes by task serve training and would be downloaded; a single image needs no padding
    for key in ("class_info_file", "repo_path", "metadata", "pad_size"):
        settings.pop(key, None)
    network = getattr(transformers, f"{kind}ForUniversalSegmentation")
    with pretrained.whole(folder, source):
        config = network.config_class.from_dict({**config, "is_training": False})
        prepare = getattr(transformers, f"{kind}ImageProcessor").from_dict(settings)
    pretrained.try_out(prepare, folder, source)
    return pretrained.network(network, folder, source, config), prepare
