"""SEEM (Zou et al. 2023) as SAS uses it: the panoptic masks of an image, named by 139 names.

An image is resized until its shorter side is `side`, which is 512 in SEEM's demo and in SAS
(point_feat_extraction/seem_feat/extract_seem_pano.py), bicubically. Thresholds are those of the demo's
configuration, which SAS loads (focall_unicl_lang_demo.yaml). Masks of one class that is not countable are one
mask, as in panoptic_inference of both (modeling/architectures/seem_model_demo.py).

SAS reads the answer in two ways at once: the caption of a mask gives the adjectives of its pixels, but their
nouns come from a semantic map, in which each pixel has the class that is likeliest over all queries
(extract_seem_semantic.py, fusion_util.py). That is `nouns: semantic`. With `nouns: panoptic` the noun is the
class of the mask, as the paper says.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from anyscene.arrays import F4, I4, I8, U1
from anyscene.project.device import autocast, passes
from anyscene.project.parameters import CaptionNouns, Precision
from anyscene.segmenters.captions.captioner import Captioner
from anyscene.segmenters.captions.colour import ColourCaptioner
from anyscene.segmenters.class_names import COUNTABLE, SEEM, names
from anyscene.segmenters.named_masks import LabelledMaskModel, NamedMasks, WholeMasks
from anyscene.segmenters.panoptic import panoptic
from anyscene.segmenters.protocol import nearest, require_finite
from anyscene.segmenters.seem import SOURCE, Settings, network
from anyscene.text import TextEncoder
from anyscene.weights import reading

CONFIDENCE = 0.4  # OBJECT_MASK_THRESHOLD
OVERLAP = 0.8  # OVERLAP_THRESHOLD
# NUM_CLASSES: the class that panoptic_inference takes for nothing. With SAS's 139 names it is "sofa", while
# "others" may own a mask; the semantic map has sofas and no others.
NOTHING_IN_CODE = 133


class SeemSegmenter(LabelledMaskModel):
    """SEEM behind the Segmenter protocol."""

    def __init__(
        self,
        name: str,
        network: network.Seem,
        text: TextEncoder,
        settings: Settings,
        device: torch.device,
        captioner: Captioner = ColourCaptioner(),
        nouns: CaptionNouns = "own",
        confidence: float = CONFIDENCE,
        overlap: float = OVERLAP,
        precision: Precision = "float32",
    ) -> None:
        """network: for inference on `device`."""
        self.name, self.captioner, self.nouns, self.network = name, captioner, nouns, network
        self.settings, self._device, self._precision = settings, device, precision
        self._confidence, self._overlap, self.text = confidence, overlap, text
        with torch.inference_mode():
            self._names = network.text.names(SEEM)  # [L, T]
        self.labels = tuple(names(label)[0] for label in SEEM)

    @classmethod
    def load(
        cls,
        name: str,
        file: Path,
        text: TextEncoder,
        settings: Settings,
        device: torch.device,
        architectures: tuple[network.Sizes, ...] = network.PUBLISHED,
        **options: Any,
    ) -> SeemSegmenter:
        """The model in the checkpoint `file`. options: those of the constructor. Raises WeightsError where it
        cannot be loaded."""
        loaded = network.load(reading.read(file, SOURCE), file, SOURCE, architectures).to(device)
        return cls(name, loaded, text, settings, device, **options)

    @torch.inference_mode()
    def labelled(self, images: U1) -> Iterator[NamedMasks]:
        """The masks of each image u1[B, H, W, 3]; with `nouns: semantic`, the parts of masks that have one
        noun. The captioner sees whole masks."""
        for some in passes(images, self._device):
            for classes, logits in zip(*self.queries(some), strict=True):
                whole, part, of, label = self._parts(classes, logits)
                size = some.shape[1:3]
                yield NamedMasks(nearest(part, size), label, whole=WholeMasks(nearest(whole, size), of))

    def queries(self, images: U1) -> tuple[torch.Tensor, torch.Tensor]:
        """The logits f4[B, Q, L] of SEEM and those of the masks f4[B, Q, h, w], for images u1[B, H, W, 3]
        that are resized to [h, w]."""
        x = torch.from_numpy(enlarged(images, self.settings.side)).to(self._device)
        with autocast(self._device, self._precision):
            feature, masks = self.network(x)
        classes = self.network.text.compare(feature, self._names)
        require_finite(self.name, "masks", classes, masks)
        return classes, masks

    def _parts(self, classes: torch.Tensor, logits: torch.Tensor) -> tuple[I4, I4, I8, I8]:
        """From the logits [Q, L] and [Q, h, w] of one image (the mask i4[h, w] of each pixel, its part
        i4[h, w], the mask i8[n] of each part, its label i8[n]), -1 = none."""
        size = (logits.shape[1], logits.shape[2])
        nothing = NOTHING_IN_CODE if self.settings.nouns == "semantic" else -1
        whole, label = panoptic(classes, logits, size, self._confidence, self._overlap, nothing)
        whole, label = merged(whole, label)
        if self.settings.nouns == "panoptic" or (whole < 0).all():
            return whole, whole, np.arange(len(label)), label
        semantic = torch.einsum("qc,qhw->chw", classes.softmax(1)[:, :-1], logits.sigmoid()).argmax(0)
        number = (whole.astype(np.int64) + 1) * len(SEEM) + semantic.cpu().numpy()
        distinct, part = np.unique(number, return_inverse=True)
        mask, noun = np.divmod(distinct, len(SEEM))
        return whole, part.reshape(size).astype(np.int32), mask - 1, noun


def merged(owner: I4, label: I8) -> tuple[I4, I8]:
    """The masks `owner` i4[H, W] with the labels i8[n], where those of one class that is not countable are
    one; masks without pixels are left out."""
    first: dict[int, int] = {}
    into = []
    for number in np.unique(owner[owner >= 0]).tolist():
        one = int(label[number])
        key = one if one >= COUNTABLE else -1 - number  # a countable one is its own
        into.append((number, first.setdefault(key, len(first)), one))
    place = np.full(len(label) + 1, -1, np.int32)  # the last entry is for pixels of no mask
    kept = np.zeros(len(first), np.int64)
    for number, new, one in into:
        place[number], kept[new] = new, one
    return place[owner], kept


def enlarged(images: U1, side: int) -> F4:
    """f4[B, 3, h, w] in 0..255 of u1[B, H, W, 3], the shorter side of which becomes `side`, bicubically."""
    height, width = resized(images.shape[1], images.shape[2], side)
    resize = [Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC) for image in images]
    return np.stack([np.asarray(image) for image in resize]).transpose(0, 3, 1, 2).astype(np.float32)


def resized(height: int, width: int, side: int) -> tuple[int, int]:
    """The height and width whose shorter side is `side`, in the same proportions, as torchvision's Resize
    rounds them: down."""
    if height < width:
        return side, int(side * width / height)
    return int(side * height / width), side
