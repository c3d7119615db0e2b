"""Features of OpenSeg (Ghiasi et al. 2022), in the text space of CLIP ViT-L/14@336px (C = 768).

Its SavedModel answers with "ppixel_ave_feat" [1, h, w, C] and "image_info" [4, 2]. The first row of the
latter is the image's height and width, and the third is how much it was scaled to fit the network's square
(tensorflow/tpu, models/official/detection/projects/openseg/OpenSeg_demo.ipynb). OpenScene cuts off the
padding and gives every pixel of the frame the nearest feature, corners on corners (pengsongyou/openscene,
scripts/feature_fusion/fusion_util.py, extract_openseg_img_feature), and so does this module. Neither
normalises.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from anyscene.arrays import I8, Floats
from anyscene.errors import DataError
from anyscene.segmenters.precomputed import archive
from anyscene.segmenters.precomputed.answer import FeatureAnswer, Size
from anyscene.segmenters.precomputed.converters import torch_file
from anyscene.segmenters.protocol import nearest

LARGEST = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class OpenSeg:
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
        arrays = archive.read(file, ("ppixel_ave_feat", "image_info"))
    except KeyError as error:
        raise DataError(
            f"{file}: wanted ppixel_ave_feat and image_info, as the SavedModel names them"
        ) from error
    feature, info = arrays["ppixel_ave_feat"], arrays["image_info"]
    if feature.ndim != 4 or len(feature) != 1 or info.size != 8:
        raise DataError(
            f"{file}: wanted ppixel_ave_feat [1, h, w, C] and image_info [4, 2], found {list(feature.shape)} "
            f"and {list(info.shape)}"
        )
    info = info.reshape(4, 2)
    height, width = (int(length) for length in info[0] * info[2])
    if not (0 < height <= feature.shape[1] and 0 < width <= feature.shape[2]):
        raise DataError(
            f"{file}: image_info says that the image covers {height} x {width} of {feature.shape[1]} x "
            f"{feature.shape[2]} features"
        )
    if tuple(info[0].astype(int)) != tuple(size):
        raise DataError(
            f"{file}: is of an image of {info[0, 1]:g}x{info[0, 0]:g}, not {size[1]}x{size[0]}; run OpenSeg "
            "on the image that `anyscene frames` wrote"
        )
    row, column = corners(height, size[0]), corners(width, size[1])
    pixels: Floats = feature[0, row[:, None], column]
    return pixels


def corners(cells: int, pixels: int) -> I8:
    """i8[pixels]: the nearest of `cells` for each pixel, where the first ones coincide and the last ones do:
    TensorFlow's resize_nearest_neighbor with align_corners, in its single precision (halves are rounded
    up)."""
    scale = np.float32((cells - 1) / (pixels - 1)) if pixels > 1 else np.float32(0)
    place = np.floor(np.arange(pixels, dtype=np.float32) * scale + np.float32(0.5))
    cell: I8 = np.minimum(place.astype(np.int64), cells - 1)
    return cell


def _extracted(file: Path) -> Floats:
    """f[h, w, C]: the features that `file` holds as f[C, h, w]."""
    stored = torch_file.load(file)
    if not isinstance(stored, torch.Tensor) or stored.ndim != 3 or not stored.is_floating_point():
        raise DataError(f"{file}: wanted the features [C, h, w] of one image")
    return stored.permute(1, 2, 0).numpy()
