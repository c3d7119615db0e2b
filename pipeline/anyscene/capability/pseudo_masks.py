"""From an attention map to a mask: points inside the coarse mask prompt SAM, which finds the edges of
things."""

from __future__ import annotations

from pathlib import Path

import numba
import numpy as np
import torch
from scipy import ndimage
from segment_anything import SamPredictor
from segment_anything.modeling import Sam

from anyscene.arrays import B1, F4, I8, U1
from anyscene.errors import SynthesisError, WeightsError
from anyscene.weights import sam

BORDER = 70 / 512  # the share of the side that is cleared along the edges of the image
FEWEST = 10  # a coarse mask with fewer pixels left is not trusted
POINTS = 3
SEEDS = (240 / 512, 270 / 512)  # of the side: where SAS's code sets pixels in a mask that is not trusted


def coarse_mask(attention: F4, threshold: float) -> B1:
    """b1[..., H, W]: where the attention f4[..., H, W] in 0..1 exceeds `threshold`."""
    return attention > threshold


def select_points(coarse: B1) -> I8:
    """i8[P, 2] (row, column): the positive prompts inside the coarse mask b1[H, W].

    A border of 70/512 of the side is cleared. If fewer than 10 pixels are left, the prompts are the four
    pixels at the centre of the image. Otherwise they are three points: all in the only component; two in the
    larger and one in the smaller of two; one in each of the three largest of more (8-connected, equal sizes
    in raster order). A point lies as deep inside its component as possible: where the distance to the nearest
    pixel outside, or to an earlier point, is largest (ties in raster order). Tiny components may have fewer
    points.
    """
    mask = _within(coarse)
    if mask.sum() < FEWEST:
        r, c = coarse.shape[0] // 2, coarse.shape[1] // 2
        return np.array([(r - 1, c - 1), (r - 1, c), (r, c - 1), (r, c)], np.int64)
    component, count = ndimage.label(mask, np.ones((3, 3)))
    size = np.bincount(component.ravel())[1:]
    largest = np.argsort(-size, kind="stable")[:POINTS] + 1
    shares = {1: (POINTS,), 2: (2, 1)}.get(count, (1,) * POINTS)
    return np.concatenate([_deepest(component == k, n) for k, n in zip(largest, shares, strict=True)])


def _deepest(component: B1, points: int) -> I8:  # b1[H, W] -> i8[<= points, 2]
    left = np.pad(component, 1)  # beyond the image is outside too
    chosen = []
    for _ in range(min(points, int(component.sum()))):
        place = np.unravel_index(np.argmax(ndimage.distance_transform_edt(left)), left.shape)
        left[place] = False
        chosen.append(place)
    return np.array(chosen, np.int64) - 1


def released_points(coarse: B1) -> I8:
    """i8[3, 2] (row, column): the prompts that SAS's code takes from the coarse mask b1[H, W]
    (MCC/sam_util/generate_mask.py:35-44, select_prompt_dis.py:10-90).

    They differ from those of `select_points` in four things. If fewer than 10 pixels are left, four blocks of
    2x2 pixels are set, 30 of 512 apart, and points are drawn from what there is then. Depth is the chamfer
    distance of 5x5 pixels instead of the Euclidean one. A component is looked up by its size, so that of
    equal ones the first is taken each time: all three prompts of an empty mask are one pixel. And the
    background is among them, which is found where it is as large as a component, or smaller.
    """
    mask = _within(coarse)
    if mask.sum() < FEWEST:
        for top in SEEDS:
            for left in SEEDS:
                row, column = round(coarse.shape[0] * top), round(coarse.shape[1] * left)
                mask[row : row + 2, column : column + 2] = True
    component, count = ndimage.label(mask, np.ones((3, 3)))
    if count == 1:
        return _farthest(mask, POINTS)
    # the order in which OpenCV numbers components: by blocks of 2x2 pixels, in raster order
    row, column = np.nonzero(mask)
    block = row // 2 * coarse.shape[1] + column // 2
    first = ndimage.minimum(block, component[row, column], np.arange(1, count + 1))
    numbered = [0, *(np.argsort(first, kind="stable") + 1)]
    size = np.bincount(component.ravel())[numbered].tolist()
    found = [numbered[size.index(value)] for value in sorted(size, reverse=True)[1 : POINTS + 1]]
    shares = (2, 1) if count == 2 else (1, 1, 1)
    return np.concatenate([_farthest(component == k, n) for k, n in zip(found, shares, strict=True)])


def _within(coarse: B1) -> B1:
    """b1[H, W]: the coarse mask without its border."""
    height, width = coarse.shape
    rows, columns = round(height * BORDER), round(width * BORDER)
    mask = np.zeros_like(coarse, dtype=bool)
    inside = slice(rows, height - rows), slice(columns, width - columns)
    mask[inside] = coarse[inside]
    return mask


def _farthest(mask: B1, points: int) -> I8:  # b1[H, W] -> i8[points, 2]
    left, chosen = mask.copy(), []
    for _ in range(points):
        place = np.unravel_index(np.argmax(chamfer(left)), left.shape)
        left[place] = False
        chosen.append(place)
    return np.array(chosen, np.int64)


@numba.njit(cache=True, nogil=True)
def chamfer(mask: B1) -> I8:
    """i8[H, W]: for each pixel of b1[H, W] the length of the shortest way to one that is not in it, by steps
    to neighbours and knight's moves of the lengths 1, 1.4 and 2.1969 (Borgefors 1986), in parts of 1/65536.
    They are whole numbers, as OpenCV's are, so that ways of one length tie."""
    straight, diagonal, knight = 65536, 91750, 143976
    height, width = mask.shape
    far = np.int64(1) << 40
    distance = np.full((height + 4, width + 4), far)
    for backwards in range(2):
        sign = 1 if backwards else -1
        for step in range(height * width):
            place = height * width - 1 - step if backwards else step
            r, c = place // width + 2, place % width + 2
            if not mask[r - 2, c - 2]:
                distance[r, c] = 0
                continue
            distance[r, c] = min(
                distance[r, c],
                distance[r, c + sign] + straight,
                distance[r + sign, c] + straight,
                distance[r + sign, c - 1] + diagonal,
                distance[r + sign, c + 1] + diagonal,
                distance[r + sign, c - 2] + knight,
                distance[r + sign, c + 2] + knight,
                distance[r + 2 * sign, c - 1] + knight,
                distance[r + 2 * sign, c + 1] + knight,
            )
    return distance[2:-2, 2:-2].copy()


class PointPrompted:
    """SAM prompted with positive points, which gives one mask for an image (multimask off)."""

    def __init__(self, network: Sam) -> None:
        self.predictor = SamPredictor(network)

    def mask(self, image: U1, points: I8) -> B1:
        """b1[H, W]: the mask of the thing at `points` i8[P, 2] (row, column) in `image` u1[H, W, 3] RGB."""
        self.predictor.set_image(image)
        masks, _, _ = self.predictor.predict(
            point_coords=points[:, ::-1].astype(np.float32),
            point_labels=np.ones(len(points), np.int64),
            multimask_output=False,
        )
        mask: B1 = masks[0]
        return mask


def load_sam(path: Path | str, device: torch.device) -> PointPrompted:
    """SAM on `device`, from a folder of this project (sam.json + model.safetensors) or from a published
    checkpoint sam_vit_{b,l,h}*.pth.

    Raises SynthesisError where it is missing, truncated, not what was published, of another architecture, or
    holds more than tensors.
    """
    path = Path(path)
    try:
        network = sam.read_own(path) if path.is_dir() else sam.read(path)
    except WeightsError as error:
        raise SynthesisError(
            f"{error}. Set `synthesis.sam` to a published checkpoint, or to the demo's folder (`make zoo` "
            "writes it)"
        ) from error
    return PointPrompted(network.to(device))
