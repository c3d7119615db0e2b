"""Numbers in the patches of a picture. Not everyone can tell colours apart, and nobody can tell twenty."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from anyscene.arrays import U1, Integers

SIZE = 17  # of the font
ROOM = 9  # at least so many pixels lie between the middle of a number and the edge of its patch
INK, HALO = (255, 255, 255), (0, 0, 0)


def places(label: Integers) -> list[tuple[int, int, int]]:
    """(label, row, column) for every connected patch that has room for a number: its label, and the place
    that is farthest from its edge. label: i[H, W], -1 = none."""
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


def numbered(picture: U1, label: Integers) -> U1:
    """The picture u1[H, W, 3 or 4] with a number in each patch of label i[H, W]. Numbers begin with 1."""
    image = Image.fromarray(picture)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(SIZE)
    for value, row, column in places(label):
        draw.text((column, row), str(value + 1), INK, font, anchor="mm", stroke_width=2, stroke_fill=HALO)
    return np.asarray(image)
