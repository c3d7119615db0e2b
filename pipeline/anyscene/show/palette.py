"""Pictures for a page: WebP as data URIs, and colours for labels, errors and attention."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from PIL import Image

from anyscene.arrays import B1, U1, Floats, Integers
from anyscene.tasks.layer import NEUTRAL as NEUTRAL
from anyscene.tasks.layer import Layer, distinct_colours
from anyscene.tasks.layer import label_colours as label_colours

RIGHT, WRONG = (
    (178, 196, 214),
    (213, 94, 0),
)  # told apart by lightness and by hue, whatever one's colour vision
QUALITY = 82
superpoint_colours = distinct_colours


def data_uri(image: U1, quality: int = QUALITY) -> str:
    """The image u1[H, W, 3 or 4] as WebP in a data URI."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "WEBP", quality=quality, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def hexadecimal(colour: Sequence[int] | U1) -> str:
    """A colour as #rrggbb, for CSS."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def error_colours(target: Integers, label: Integers) -> U1:
    """u1[N, 3]: whether a label i[N] is right, wrong, or not annotated (`target` i[N] is -1)."""
    colours = np.where((target == label)[:, None], RIGHT, WRONG)
    return np.where((target < 0)[:, None], NEUTRAL, colours).astype(np.uint8)


def layer_colours(layer: Layer) -> U1:
    """u1[N, 3]: the colours of a layer; where it has values, those of heat, and neutral grey for NaN."""
    if layer.colours is not None:
        return layer.colours
    assert layer.values is not None  # a layer has either
    known = np.isfinite(layer.values)[:, None]
    return np.where(known, heat(np.nan_to_num(layer.values)), NEUTRAL).astype(np.uint8)


def heat(values: Floats | float) -> U1:
    """u1[..., 3]: values in 0..1 as colours from dark blue to yellow. The map is Cividis (Nunez, Anderton,
    Renslow 2018), which looks even with and without colour blindness."""
    cividis = np.asarray(colormaps["cividis"](np.asarray(values, np.float32)))
    colours: U1 = np.rint(255 * cividis[..., :3]).astype(np.uint8)
    return colours


def heat_over(rgb: U1, values: Floats) -> U1:
    """u1[N, 3]: the lightness of points in dark grey, under the colours of `heat` where `values` f[N] in 0..1
    are high. rgb: u1[N, 3]."""
    grey = 40 + 0.45 * (rgb @ np.array([0.299, 0.587, 0.114]))[:, None]
    colours: U1 = np.rint(grey + (heat(values) - grey) * np.sqrt(values)[:, None]).astype(np.uint8)
    return colours


def synthesis_sheet(image: U1, attention: Floats, coarse: B1, mask: B1, side: int, columns: int) -> U1:
    """u1[4 side, columns side, 3]: a column for each image. From top to bottom it shows the image, the
    attention, the coarse mask, and the image inside the mask.

    image: u1[m, H, W, 3]; attention: f[m, H, W] in 0..1; coarse, mask: b1[m, H, W]; side: of a tile, in
    pixels; columns: at most so many images are shown."""
    shown = min(columns, len(image))
    rows = [
        image[:shown],
        heat(attention[:shown]),
        np.where(coarse[:shown, ..., None], 235, 40).astype(np.uint8).repeat(3, -1),
        np.where(mask[:shown, ..., None], image[:shown], image[:shown] // 5),
    ]
    sheet = np.full((4 * side, columns * side, 3), 128, np.uint8)
    for r, row in enumerate(rows):
        for c, tile in enumerate(row):
            resized = Image.fromarray(tile).resize((side, side), Image.Resampling.BICUBIC)
            sheet[r * side : (r + 1) * side, c * side : (c + 1) * side] = np.asarray(resized)
    return sheet
