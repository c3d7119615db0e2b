"""The points by which TAP is asked about a mask: as in SAS (TAP/infer.py), one that lies deepest inside."""

from __future__ import annotations

import numba
import numpy as np

from anyscene.arrays import B1, F4, I8
from anyscene.segmenters.captions.tap.prompt_encoder import FOREGROUND, PADDING

# Borgefors 1986: the steps of OpenCV's distanceTransform with DIST_L2 and a mask of 5, added up in
# single precision, as OpenCV does on most machines: which of equally deep pixels wins depends on the last bit
SIDE, DIAGONAL, KNIGHT = (np.float32(step) for step in (1.0, 1.4, 2.1969))
FAR = np.float32(1e6)


def prompt(mask: B1) -> tuple[F4, I8]:
    """(place f4[2, 2], kind i8[2]) of the points for `mask` b1[H, W]: the deepest one, and one that fills
    up."""
    return np.array([deepest(mask), (0, 0)], np.float32), np.array([FOREGROUND, PADDING], np.int64)


def deepest(mask: B1) -> tuple[int, int]:
    """The column and row of the first pixel of `mask` b1[H, W] that lies farthest from what is outside of it,
    as `depth` measures it. For a mask of the whole image it is the first pixel."""
    row, column = divmod(int(depth(np.ascontiguousarray(mask)).argmax()), mask.shape[1])
    return column, row


@numba.njit(cache=True, nogil=True)
def depth(mask: B1) -> F4:
    """f4[H, W]: how far each pixel of `mask` b1[H, W] is from the nearest pixel outside, in pixels.

    A way goes by sides, diagonals and knight's moves, whose lengths are nearly Euclid's. What lies beyond the
    image is not outside of the mask, so that one that the image cuts is deepest at the cut.
    """
    height, width = mask.shape
    found = np.full((height + 4, width + 4), FAR, np.float32)
    for row in range(height):  # what is above, and to the left
        for column in range(width):
            r, c = row + 2, column + 2
            if not mask[row, column]:
                found[r, c] = 0
                continue
            found[r, c] = min(
                found[r - 2, c - 1] + KNIGHT,
                found[r - 2, c + 1] + KNIGHT,
                found[r - 1, c - 2] + KNIGHT,
                found[r - 1, c - 1] + DIAGONAL,
                found[r - 1, c] + SIDE,
                found[r - 1, c + 1] + DIAGONAL,
                found[r - 1, c + 2] + KNIGHT,
                found[r, c - 1] + SIDE,
                FAR,
            )
    for row in range(height - 1, -1, -1):  # what is below, and to the right
        for column in range(width - 1, -1, -1):
            r, c = row + 2, column + 2
            found[r, c] = min(
                found[r, c],
                found[r + 2, c + 1] + KNIGHT,
                found[r + 2, c - 1] + KNIGHT,
                found[r + 1, c + 2] + KNIGHT,
                found[r + 1, c + 1] + DIAGONAL,
                found[r + 1, c] + SIDE,
                found[r + 1, c - 1] + DIAGONAL,
                found[r + 1, c - 2] + KNIGHT,
                found[r, c + 1] + SIDE,
            )
    return found[2:-2, 2:-2]
