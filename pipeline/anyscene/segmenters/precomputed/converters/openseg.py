"""Features of OpenSeg (Ghiasi et al. 2022), in the text space of CLIP ViT-L/14@336px (C = 768).

They are read as OpenScene reads them (anyscene.segmenters.openseg.answer); nothing is normalised.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from anyscene.arrays import Floats
from anyscene.errors import DataError
from anyscene.segmenters.openseg import answer
from anyscene.segmenters.precomputed import archive
from anyscene.segmenters.precomputed.answer import FeatureAnswer, Size
from anyscene.segmenters.precomputed.converters import torch_file
from anyscene.segmenters.protocol import nearest

LARGEST = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class OpenSegAnswers:
    """Answers in `folder`: KEY.npz, as the SavedModel gives them, or f2[C, h, w] in KEY.pt or KEY.pth, as
    extract_openseg_img_feature makes them. Of `stride` x `stride` pixels the feature of the middle one is
    kept."""

    folder: Path
    stride: int = 1

    def has(self, key: str) -> bool:
        return any(file.is_file() for file in self._files(key))

    def read(self, key: str, size: Size) -> FeatureAnswer:
        file = next(file for file in self._files(key) if file.is_file())
        feature = _pixels(file, size) if file.suffix == ".npz" else _extracted(file)
        if not (np.abs(feature).max() <= LARGEST):  # this refuses NaN too
            raise DataError(f"{file}: features contain NaN or infinity, or more than a float16 holds")
        height, width, channels = feature.shape
        cells = -(-height // self.stride), -(-width // self.stride)
        kept = nearest(np.arange(height * width).reshape(height, width), cells)
        return FeatureAnswer(feature.reshape(-1, channels)[kept].astype(np.float16))

    def _files(self, key: str) -> list[Path]:
        return [self.folder / f"{key}{ending}" for ending in (".npz", ".pt", ".pth")]


def _pixels(file: Path, size: Size) -> Floats:
    """f[H, W, C]: the features in the SavedModel's answer, for the pixels of an image of `size`."""
    try:
        arrays = archive.read(file, (answer.FEATURE, answer.INFO))
    except KeyError as error:
        raise DataError(
            f"{file}: wanted ppixel_ave_feat and image_info, as the SavedModel names them"
        ) from error
    try:
        return answer.pixels(arrays[answer.FEATURE], arrays[answer.INFO], size)
    except ValueError as error:
        raise DataError(f"{file}: {error}; run OpenSeg on the image that `anyscene frames` wrote") from error


def _extracted(file: Path) -> Floats:
    """f[h, w, C]: the features that `file` holds as f[C, h, w]."""
    stored = torch_file.load(file)
    if not isinstance(stored, torch.Tensor) or stored.ndim != 3 or not stored.is_floating_point():
        raise DataError(f"{file}: wanted the features [C, h, w] of one image")
    return stored.permute(1, 2, 0).numpy()
