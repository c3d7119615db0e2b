"""Depth Anything (Yang et al. 2024, https://arxiv.org/abs/2406.09414), through transformers: how far things
are in an image, by the image alone. No stage uses it; `anyscene import --estimate-depth FOLDER` does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

from anyscene.arrays import F4, U1
from anyscene.segmenters import pretrained
from anyscene.segmenters.protocol import require_finite

if TYPE_CHECKING:
    from transformers import DepthAnythingForDepthEstimation

SOURCE = "https://huggingface.co/depth-anything"
KINDS = ("depth_anything",)


class DepthAnything:
    """The model in a folder; a `datasets.imports.estimated_depth.DepthModel`."""

    def __init__(self, name: str, network: DepthAnythingForDepthEstimation, prepare: Any) -> None:
        self.name, self.network, self._prepare = name, network, prepare
        self.metric = network.config.depth_estimation_type == "metric"  # else disparity

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> DepthAnything:
        """The model in `folder`, as transformers writes it. Nothing is ever downloaded. Raises WeightsError
        where it is none, or damaged."""
        pretrained.description(folder, KINDS, SOURCE)
        # only here, because transformers takes seconds to import
        from transformers import DepthAnythingForDepthEstimation, DPTImageProcessor

        prepare = pretrained.part(DPTImageProcessor, folder, SOURCE)
        pretrained.try_out(prepare, folder, SOURCE)
        network = pretrained.network(DepthAnythingForDepthEstimation, folder, SOURCE)
        return cls(folder.name, network.to(device), prepare)

    @torch.inference_mode()
    def __call__(self, rgb: U1) -> F4:
        """f4[H, W] of an image u1[H, W, 3]: metres along the camera's axis, or disparity, at least 0."""
        # stated, because an image of 3 rows might pass for one with channels first
        inputs = self._prepare(images=[rgb], input_data_format="channels_last", return_tensors="pt")
        found = self.network(inputs["pixel_values"].to(self.network.device)).predicted_depth
        require_finite(self.name, "depth", found)
        whole = functional.interpolate(found[:, None], rgb.shape[:2], mode="bilinear", align_corners=False)
        depth: F4 = np.maximum(whole[0, 0].float().cpu().numpy(), 0)
        return depth
