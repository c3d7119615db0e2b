"""What the released code of SAS (peoplelu/SAS at 38764c2) and OpenScene (pengsongyou/openscene at 0f369bc)
computes, said once more in loops, so that what a setting calls theirs can be compared with it. Each function
names the lines that it restates; none is taken from there."""

from __future__ import annotations

import math

import numpy as np


def nearest(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """openscene scripts/preprocess/scannet_sensordata.py:87, 98 and preprocess_2d_matterport.py:56, 65:
    cv2.resize with INTER_NEAREST, of which OpenCV says that pixel x comes from floor(x * scale)."""
    (width, height), (h, w) = size, image.shape[:2]
    rows = [[image[math.floor(v * h / height), math.floor(u * w / width)] for u in range(width)]
            for v in range(height)]  # fmt: skip
    return np.array(rows)


def halved(image: np.ndarray) -> np.ndarray:
    """openscene scripts/preprocess/preprocess_2d_nuscenes.py:40: cv2.resize with its default INTER_LINEAR,
    from 1600x900 to 800x450. The place between four pixels is their middle."""
    rows = []
    for v in range(0, len(image), 2):
        row = []
        for u in range(0, image.shape[1], 2):
            four = image[v : v + 2, u : u + 2].reshape(4, -1).astype(int).sum(0)
            row.append([math.floor(total / 4 + 0.5) for total in four])
        rows.append(row)
    return np.array(rows, np.uint8)


def intrinsics(size: tuple[int, int]) -> np.ndarray:
    """SAS point_feat_extraction/lseg_feat/fusion_scannet.py:129-134 and 222-223, with fusion_util.py's
    make_intrinsic and adjust_intrinsic: one camera at 640x480 for all scans."""
    across = math.floor(size[1] * 640 / 480)
    return np.array(
        [
            [577.870605 * across / 640, 0, 319.5 * (size[0] - 1) / 639],
            [0, 577.870605 * size[1] / 480, 239.5 * (size[1] - 1) / 479],
            [0, 0, 1],
        ]
    )
