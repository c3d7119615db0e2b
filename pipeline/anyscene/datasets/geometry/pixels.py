"""The colours of an image between its pixels."""

from __future__ import annotations

import numpy as np

from anyscene.arrays import F8, U1, Floats


def bilinear(image: U1, column: Floats, row: Floats) -> F8:
    """f8[N, 3]: the colours of an image u1[H, W, 3] at places [N] in pixels, of which the centre of the first
    is (0, 0), between the four nearest. Places beyond the edge have the colour of the edge."""
    height, width = image.shape[:2]
    u, v = np.clip(column, 0, width - 1), np.clip(row, 0, height - 1)
    left, above = u.astype(np.intp), v.astype(np.intp)
    right, below = np.minimum(left + 1, width - 1), np.minimum(above + 1, height - 1)
    a, b = (u - left)[:, None], (v - above)[:, None]
    upper = (1 - a) * image[above, left] + a * image[above, right]
    lower = (1 - a) * image[below, left] + a * image[below, right]
    mixed: F8 = (1 - b) * upper + b * lower
    return mixed
