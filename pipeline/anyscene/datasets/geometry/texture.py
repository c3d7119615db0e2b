"""The colours of vertices from an image that is laid over a mesh."""

from __future__ import annotations

import numpy as np
from PIL import Image

from anyscene.arrays import F8, U1, Floats, Integers
from anyscene.datasets.geometry.colours import GREY
from anyscene.datasets.geometry.pixels import bilinear


def sampled(image: Image.Image, uv: Floats) -> U1:
    """u1[N, 3]: the colours of `image` at texture coordinates [N, 2], between the centres of pixels.

    (0, 0) is the lower left corner of the image and (1, 1) the upper right one, as in OBJ and PLY. Outside
    0..1 it repeats. Transparency is left out.
    """
    pixels = np.asarray(image.convert("RGB"))
    uv = np.where(np.isfinite(uv), uv, 0.0)
    inside = uv - np.floor(uv)
    inside = np.where((inside == 0) & (uv > 0), 1.0, inside)  # the far edge is not the near one
    column, row = inside[:, 0] * pixels.shape[1] - 0.5, (1 - inside[:, 1]) * pixels.shape[0] - 0.5
    colours: U1 = np.rint(bilinear(pixels, column, row)).astype(np.uint8)
    return colours


def of_corners(colour: U1, face: Integers, count: int) -> U1:
    """u1[count, 3]: the mean colour of the corners that each vertex is, GREY where it has no face.

    colour: u1[F, 3, 3], of the three corners of each face, since a vertex at a seam has several texture
    coordinates; face: integers [F, 3].
    """
    corner = face.ravel()
    times = np.bincount(corner, minlength=count)
    total: F8 = np.stack([np.bincount(corner, colour[..., c].ravel(), count) for c in range(3)], 1)
    mean = total / np.maximum(times, 1)[:, None]
    return np.where(times[:, None] > 0, np.rint(mean), GREY).astype(np.uint8)
