"""What OpenSeg's SavedModel answers, read as OpenScene reads it.

It answers with "ppixel_ave_feat" [1, h, w, C] and "image_info" [4, 2]. The first row of the latter is the
image's height and width, and the third is how much it was scaled to fit the network's square
(tensorflow/tpu, models/official/detection/projects/openseg/OpenSeg_demo.ipynb). OpenScene cuts off the
padding and gives every pixel of the frame the nearest feature, corners on corners (pengsongyou/openscene,
scripts/feature_fusion/fusion_util.py, extract_openseg_img_feature).
"""

from __future__ import annotations

import numpy as np

from anyscene.arrays import I8, Array, Floats

FEATURE, INFO = "ppixel_ave_feat", "image_info"  # of the answers, those that are read


def cells(feature: Array, info: Array, size: tuple[int, int]) -> tuple[I8, I8]:
    """(row i8[H], column i8[W]): the feature of `feature` [1, h, w, C] for each row and column of an image of
    `size`, whose `info` is [4, 2]. Raises ValueError where they do not belong together."""
    if feature.ndim != 4 or len(feature) != 1 or info.size != 8:
        raise ValueError(
            f"wanted {FEATURE} [1, h, w, C] and {INFO} [4, 2], found {list(feature.shape)} and "
            f"{list(info.shape)}"
        )
    info = info.reshape(4, 2)
    height, width = (int(length) for length in info[0] * info[2])
    if not (0 < height <= feature.shape[1] and 0 < width <= feature.shape[2]):
        raise ValueError(
            f"{INFO} says that the image covers {height} x {width} of {feature.shape[1]} x "
            f"{feature.shape[2]} features"
        )
    if tuple(info[0].astype(int)) != tuple(size):
        raise ValueError(f"is of an image of {info[0, 1]:g}x{info[0, 0]:g}, not {size[1]}x{size[0]}")
    return corners(height, size[0]), corners(width, size[1])


def pixels(feature: Floats, info: Array, size: tuple[int, int]) -> Floats:
    """f[H, W, C]: the feature of each pixel. Raises ValueError as `cells`."""
    row, column = cells(feature, info, size)
    found: Floats = feature[0, row[:, None], column]
    return found


def corners(cells: int, pixels: int) -> I8:
    """i8[pixels]: the nearest of `cells` for each pixel, where the first ones coincide and the last ones do:
    TensorFlow's resize_nearest_neighbor with align_corners, in its single precision (halves are rounded
    up)."""
    scale = np.float32((cells - 1) / (pixels - 1)) if pixels > 1 else np.float32(0)
    place = np.floor(np.arange(pixels, dtype=np.float32) * scale + np.float32(0.5))
    cell: I8 = np.minimum(place.astype(np.int64), cells - 1)
    return cell
