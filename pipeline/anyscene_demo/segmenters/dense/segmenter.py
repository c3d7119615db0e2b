"""The demo's dense segmenter, which stands for LSeg: every pixel gets a feature in text space."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from anyscene.arrays import I2, U1
from anyscene.project.device import autocast
from anyscene.project.parameters import Precision
from anyscene.segmenters.protocol import FeatureMap
from anyscene.text import TEMPLATE, TextEncoder, embeddings
from anyscene.weights import described
from anyscene_demo.segmenters import loading
from anyscene_demo.segmenters.backbone import Backbone, Pyramid, prepare


class DenseNetwork(nn.Module):
    """The pyramid over the backbone, then a linear map of each cell at stride 4 into text space."""

    def __init__(self, widths: Sequence[int] = (32, 64, 96, 96), inner: int = 64, width: int = 384) -> None:
        super().__init__()
        self.backbone = Backbone()
        self.pyramid = Pyramid(widths)
        self.inner = nn.Sequential(nn.Conv2d(widths[0], inner, 1), nn.GroupNorm(8, inner), nn.ReLU())
        self.head = nn.Linear(inner, width, bias=False)

    def decode(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """Backbone maps -> f4[B, h, w, inner] on the grid of stride 4."""
        cells: torch.Tensor = self.inner(self.pyramid(maps)[0])
        return cells.permute(0, 2, 3, 1)

    def place(self, cells: torch.Tensor) -> torch.Tensor:
        """Decoded cells f4[..., inner] -> f4[..., C] in text space, of length 1."""
        return functional.normalize(self.head(cells), dim=-1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """f4[B, 3, h, w] in -1..1 -> f4[B, h/4, w/4, C]."""
        return self.place(self.decode(self.backbone(image)))


class DenseSegmenter:
    """DenseNetwork behind the Segmenter protocol."""

    def __init__(
        self,
        name: str,
        folder: Path,
        text: TextEncoder,
        precision: Precision = "float32",
        template: str = TEMPLATE,
    ) -> None:
        """Load the model from `folder`. Raises WeightsError where that is not possible.

        template: the sentence in which names are encoded."""
        self.name, self._template = name, template
        self.description, architecture, tensors = loading.read(folder, "dense", text)
        self._text, self._precision = text, precision
        self._side = architecture["side"]
        self._network = described.build(
            lambda: DenseNetwork(architecture["widths"], architecture["inner"], text.width), tensors, folder
        )
        self._network.eval().requires_grad_(False).to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def describe(self, images: U1, vocabulary: Sequence[str] = ()) -> list[FeatureMap]:
        """A FeatureMap for each image u1[B, H, W, 3]: vectors of length 1 at a quarter of the network's
        resolution.

        Images go through one by one. On a CPU that is as fast as batches, and the batch can make no
        difference.
        """
        with autocast(torch.device("cpu"), self._precision):
            found = [self._network(prepare(image[None], self._side))[0] for image in images]
        return [FeatureMap(feature.float()) for feature in found]

    @torch.inference_mode()
    def label(self, images: U1, vocabulary: Sequence[str]) -> I2:
        """i2[B, H, W]: the most similar name at each pixel, an index into `vocabulary`. Every pixel has
        one."""
        target = torch.from_numpy(embeddings(self._text, vocabulary, self._template))  # [K, C]
        labels = np.empty(images.shape[:3], np.int16)
        for row, found in zip(labels, self.describe(images), strict=True):
            similarity = (found.feature @ target.T).permute(2, 0, 1)[None]
            row[...] = (
                functional.interpolate(similarity, size=row.shape, mode="bilinear")[0].argmax(0).numpy()
            )
        return labels
