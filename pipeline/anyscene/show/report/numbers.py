"""Numbers in the patches of a picture: colours alone are not told apart by everyone, nor twenty by anyone."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

SIZE, ROOM = 17, 9  # of the font, and from the middle of a number to the edge of its patch at least; pixels
INK, HALO = (255, 255, 255), (0, 0, 0)


def places(label: np.ndarray) -> list[tuple[int, int, int]]:
    """(label, row, column) of every connected patch of label i[H, W] (-1: none) that has room for a number,
    at the place farthest from its edge."""
    found = []
    for value in np.unique(label[label >= 0]).tolist():
        patches, _ = ndimage.label(label == value)
        for index, box in enumerate(ndimage.find_objects(patches), 1):
            patch = np.pad(patches[box] == index, 1)
            if min(patch.shape) <= 2 * ROOM or patch.sum() <= 4 * ROOM**2:
                continue
            inside = ndimage.distance_transform_edt(patch)
            row, column = np.unravel_index(inside.argmax(), inside.shape)
            if inside[row, column] >= ROOM:
                found.append((value, int(row) - 1 + box[0].start, int(column) - 1 + box[1].start))
    return found


def numbered(picture: np.ndarray, label: np.ndarray) -> np.ndarray:
    """The picture u1[H, W, 3 or 4] with a number in each patch of label i[H, W], the first label being 1."""
    image = Image.fromarray(picture)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(SIZE)
    for value, row, column in places(label):
        draw.text((column, row), str(value + 1), INK, font, anchor="mm", stroke_width=2, stroke_fill=HALO)
    return np.asarray(image)
