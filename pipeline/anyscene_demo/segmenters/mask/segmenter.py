"""The demo's mask segmenter, which stands for SEEM: it finds masks, scores and names them, and captions each.

Every cell of a coarse grid proposes the mask of what lies under it, as in SOLO (Wang et al. 2020) and in
SAM's "segment everything". Proposals are accepted greedily until the image is covered. Each mask then gets
one name, from features that are pooled over it. The network sees grey images; only captions have colours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from anyscene.arrays import I4, I8, U1
from anyscene.errors import WeightsError
from anyscene.project.device import autocast
from anyscene.project.parameters import CaptionNouns, Precision
from anyscene.segmenters.captions.captioner import Captioner
from anyscene.segmenters.captions.colour import ColourCaptioner
from anyscene.segmenters.named_masks import LabelledMaskModel, NamedMasks
from anyscene.text import TextEncoder, embeddings
from anyscene.weights import described
from anyscene_demo.segmenters import loading
from anyscene_demo.segmenters.backbone import CHANNELS, Backbone, Pyramid, prepare

HELD = -1.0  # the logit above which a pixel may belong to a mask; below 0, so that masks leave no cracks


@dataclass(frozen=True)
class ProposedMasks:
    """What the network says of B images. Cells are on the grid of stride 8, pixels on that of stride 4."""

    pixel: torch.Tensor  # f4[B, E, h, w], embeddings
    kernel: torch.Tensor  # f4[B, E, g, k], the embedding that the mask of a cell looks for
    bias: torch.Tensor  # f4[B, g, k]
    centre: torch.Tensor  # f4[B, 2, g, k], x and y of the window around a mask, in halves of the shorter side
    sharpness: torch.Tensor  # f4[B, g, k], of the window
    score: torch.Tensor  # f4[B, g, k], the logit of the expected IoU of a mask
    region: torch.Tensor  # f4[B, R, g, k], features to pool for naming


class MaskNetwork(nn.Module):
    """Proposes masks from seeds and maps pooled regions into text space."""

    def __init__(
        self,
        widths: Sequence[int] = (32, 64, 96, 96),
        embedding: int = 24,
        inner: int = 256,
        width: int = 384,
    ) -> None:
        super().__init__()
        self.backbone = Backbone()
        self.pyramid = Pyramid(widths)
        self.pixel = nn.Conv2d(widths[0], embedding, 1)
        self.seed = nn.Conv2d(widths[1], embedding + 5, 1)
        assert self.seed.bias is not None
        nn.init.constant_(self.seed.bias[embedding + 3], 1.0)  # begin with local windows
        region = widths[1] + CHANNELS[2] + CHANNELS[3]
        self.name = nn.Sequential(
            nn.LayerNorm(2 * region + 3),
            nn.Linear(2 * region + 3, inner),
            nn.GELU(),
            nn.Dropout(0.2),
            nn.Linear(inner, width, bias=False),
        )

    def propose(self, maps: Sequence[torch.Tensor]) -> ProposedMasks:
        """Backbone maps at strides 4, 8, 16, 32 -> ProposedMasks."""
        decoded = self.pyramid(maps)
        seed = self.seed(decoded[1])
        embedding = seed.shape[1] - 5
        kernel, (bias, dx, dy, sharpness, score) = seed[:, :embedding], seed[:, embedding:].unbind(1)
        x, y = _coordinates(*seed.shape[2:])
        size = seed.shape[2:]
        enlarged = [
            functional.interpolate(maps[i], scale_factor=2 ** (i - 1), mode="bilinear")[
                ..., : size[0], : size[1]
            ]
            for i in (2, 3)
        ]
        return ProposedMasks(
            pixel=self.pixel(decoded[0]),
            kernel=kernel,
            bias=bias,
            centre=torch.stack([x + dx, y + dy], 1),
            sharpness=functional.softplus(sharpness),
            score=score,
            region=torch.cat([decoded[1], *enlarged], 1),
        )

    def embed(self, region: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """f4[n, C] of length 1: the embeddings of regions. region: f4[R, g, k], features of one image; mask:
        f4[n, g, k] in 0..1.

        An embedding comes from the mean over the mask, the mean over the image, and the mask's height, width
        and area.
        """
        flat = mask.flatten(1)
        area = flat.sum(1, keepdim=True)
        inside = flat @ region.flatten(1).T / area.clamp_min(1e-3)  # [n, R]
        outside = region.mean((1, 2)).expand_as(inside)
        x, y = (c.flatten() for c in _coordinates(*mask.shape[1:]))
        weight = flat / area.clamp_min(1e-3)
        spread = [(weight @ c**2 - (weight @ c) ** 2).clamp_min(0).sqrt() for c in (x, y)]
        shape = torch.stack([*spread, flat.mean(1)], 1)
        return functional.normalize(self.name(torch.cat([inside, outside, shape], 1)), dim=1)

    def forward(self, image: torch.Tensor) -> ProposedMasks:
        """f4[B, 3, h, w] in -1..1 -> ProposedMasks."""
        return self.propose(self.backbone(image))


def mask_logits(proposals: ProposedMasks, image: int, cells: torch.Tensor) -> torch.Tensor:
    """f4[n, h, w]: the masks of image number `image` from seeds. cells: i8[n], flat indices on the grid of
    seeds."""
    pixel = proposals.pixel[image]
    x, y = _coordinates(*pixel.shape[1:])
    kernel = proposals.kernel[image].flatten(1)[:, cells]  # [E, n]
    centre = proposals.centre[image].flatten(1)[:, cells, None, None]  # [2, n, 1, 1]
    sharpness = proposals.sharpness[image].flatten()[cells, None, None]
    distance = (x - centre[0]) ** 2 + (y - centre[1]) ** 2  # [n, h, w]
    appearance = (kernel.T @ pixel.flatten(1)).view(distance.shape)
    return appearance + proposals.bias[image].flatten()[cells, None, None] - sharpness * distance


def cover(proposals: ProposedMasks, image: int, most: int = 48) -> tuple[torch.Tensor, torch.Tensor]:
    """Accept seeds in the order of falling scores until all cells are covered, each only where no accepted
    mask lies yet.

    Returns the logits f4[n, h, w] and scores f4[n] in 0..1 of masks, where n <= most.
    """
    score = proposals.score[image]
    height, width = score.shape
    free = torch.ones(height, width, dtype=torch.bool)
    masks, scores = [], []
    # stable: equal scores keep the order of the grid
    for cell in torch.sort(score.flatten(), descending=True, stable=True).indices.tolist():
        row, column = divmod(cell, width)
        if not free[row, column]:
            continue
        mask = mask_logits(proposals, image, torch.tensor([cell]))[0]
        inside = mask > 0
        free[row, column] = False
        if inside.any():
            covered = functional.max_pool2d(inside[None, None].float(), 2, ceil_mode=True)[
                0, 0, :height, :width
            ]
            free &= covered == 0
            masks.append(mask)
            scores.append(score[row, column].sigmoid())
        if len(masks) == most or not free.any():
            break
    if not masks:
        return proposals.pixel.new_zeros(0, *proposals.pixel.shape[2:]), proposals.pixel.new_zeros(0)
    return torch.stack(masks), torch.stack(scores)


def shrink(mask: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Masks f4[n, h, w] at stride 4 -> their means over 2 x 2 cells, on the grid of seeds, which has
    `size`."""
    return functional.avg_pool2d(mask[None], 2, ceil_mode=True, count_include_pad=False)[
        0, :, : size[0], : size[1]
    ]


def _coordinates(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(x f4[height, width], y f4[height, width]) of the centres of cells: 0 is the middle, and the shorter
    side spans -1..1."""
    half = min(height, width) / 2
    x = (torch.arange(width) + 0.5 - width / 2) / half
    y = (torch.arange(height) + 0.5 - height / 2) / half
    return x.expand(height, width), y[:, None].expand(height, width)


@dataclass(frozen=True)
class ScoredMasks:
    """The masks of one image."""

    owner: I4  # i4[H, W], the mask to which each pixel belongs, -1 = none
    label: I8  # i8[n], index into the model's labels
    score: torch.Tensor  # f4[n], of each mask, in 0..1


class MaskSegmenter(LabelledMaskModel):
    """MaskNetwork behind the Segmenter protocol."""

    def __init__(
        self,
        name: str,
        folder: Path,
        text: TextEncoder,
        captioner: Captioner = ColourCaptioner(),
        nouns: CaptionNouns = "own",
        precision: Precision = "float32",
    ) -> None:
        """Load the model from `folder`. Raises WeightsError where that is not possible."""
        self.name, self.captioner, self.nouns, self._precision = name, captioner, nouns, precision
        self.description, architecture, tensors = loading.read(folder, "mask", text)
        self.text = text
        names = self.description.get("names")
        if not isinstance(names, list) or not names or not all(isinstance(one, str) for one in names):
            raise WeightsError(
                f"{folder / described.DESCRIPTION}: damaged, lists no names; restore the folder from the "
                "repository or run `make zoo`"
            )
        self.labels = tuple(names)
        self._taught = torch.from_numpy(embeddings(text, names))  # [K, C], in the sentence of its training
        self._side = architecture["side"]
        self._network = described.build(
            lambda: MaskNetwork(
                architecture["widths"], architecture["embedding"], architecture["inner"], text.width
            ),
            tensors,
            folder,
        )
        self._network.eval().requires_grad_(False).to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def masks(self, image: U1) -> ScoredMasks:
        """The masks of one image u1[H, W, 3], each with the label that fits best. A pixel belongs to the
        likeliest of the masks that hold it."""
        with autocast(torch.device("cpu"), self._precision):
            found = self._network(prepare(image[None], self._side, grey=True))
        proposals = ProposedMasks(**{part: value.float() for part, value in vars(found).items()})
        logits, score = cover(proposals, 0)
        height, width = image.shape[:2]
        if len(logits) == 0:
            return ScoredMasks(np.full((height, width), -1, np.int32), np.zeros(0, np.int64), score)
        soft = shrink(logits.sigmoid(), proposals.region.shape[2:])
        own = self._network.embed(proposals.region[0], soft) @ self._taught.T  # [n, K]
        full = functional.interpolate(logits[None], size=(height, width), mode="bilinear")[0]
        best, owner = full.max(0)
        owner = torch.where(best > HELD, owner, -1)
        return ScoredMasks(owner.to(torch.int32).numpy(), own.argmax(1).numpy(), score)

    def labelled(self, images: U1) -> Iterator[NamedMasks]:
        """The masks of each image u1[B, H, W, 3]."""
        return (NamedMasks(found.owner, found.label) for found in map(self.masks, images))
