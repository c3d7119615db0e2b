"""From an attention map to a mask: points inside the coarse mask prompt SAM, which finds the edges of
things."""

from __future__ import annotations

from pathlib import Path

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


def coarse_mask(attention: F4, threshold: float) -> B1:
    """b1[..., H, W]: where the attention f4[..., H, W] in 0..1 exceeds `threshold`."""
    return attention > threshold


def select_points(coarse: B1) -> I8:
    """i8[P, 2] (row, column): the positive prompts inside the coarse mask b1[H, W].

    A border of 70/512 of the side is cleared. If fewer than 10 pixels are left, the prompts are the four
    pixels at the centre of the image. (SAS's code sets four blocks of 2x2 pixels there, 30 apart, and draws
    three points from them; where nothing else is left, these are one pixel.) Otherwise they are three
    points: all in the only component; two in the larger and one in the smaller of two; one in each of the
    three largest of more (8-connected, equal sizes in raster order). A point lies as deep inside its
    component as possible: where the distance to the nearest pixel outside, or to an earlier point, is
    largest (ties in raster order). Tiny components may have fewer points.
    """
    height, width = coarse.shape
    inside = np.zeros_like(coarse, dtype=bool)
    rows, columns = round(height * BORDER), round(width * BORDER)
    inside[rows : height - rows, columns : width - columns] = True
    mask = coarse & inside
    if mask.sum() < FEWEST:
        r, c = height // 2, width // 2
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
