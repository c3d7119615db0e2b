"""Pictures inside a page: WebP as data URIs, colours for labels, errors, attention."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from PIL import Image

from anyscene.tasks.layer import NEUTRAL, Layer, distinct_colours
from anyscene.tasks.layer import label_colours as label_colours

RIGHT, WRONG = (
    (178, 196, 214),
    (213, 94, 0),
)  # told apart by lightness and by hue, whatever one's colour vision
QUALITY = 82
superpoint_colours = distinct_colours


def data_uri(image: np.ndarray, quality: int = QUALITY) -> str:
    """u1[H, W, 3 or 4] as a WebP data URI."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "WEBP", quality=quality, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def hexadecimal(colour: Sequence[int]) -> str:
    """#rrggbb, as CSS wants it."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def error_colours(target: np.ndarray, label: np.ndarray) -> np.ndarray:
    """u1[N, 3]: right, wrong, or not annotated."""
    colours = np.where((target == label)[:, None], RIGHT, WRONG)
    return np.where((target < 0)[:, None], NEUTRAL, colours).astype(np.uint8)


def layer_colours(layer: Layer) -> np.ndarray:
    """u1[N, 3]: a layer's colours, or those of heat for its values, neutral grey where these are NaN."""
    if layer.colours is not None:
        return layer.colours
    known = np.isfinite(layer.values)[:, None]
    return np.where(known, heat(np.nan_to_num(layer.values)), NEUTRAL).astype(np.uint8)


def heat(values: np.ndarray | float) -> np.ndarray:
    """u1[..., 3] of values in 0..1, dark blue to yellow: Cividis (Nunez, Anderton, Renslow 2018), even to the
    eye with and without colour blindness."""
    colours = np.asarray(colormaps["cividis"](np.asarray(values, np.float32)))
    return np.rint(255 * colours[..., :3]).astype(np.uint8)


def heat_over(rgb: np.ndarray, values: np.ndarray) -> np.ndarray:
    """u1[N, 3]: the points' lightness in dark grey, under the colours of `heat` where values [N] in 0..1 are
    high."""
    grey = 40 + 0.45 * (rgb @ np.array([0.299, 0.587, 0.114]))[:, None]
    return np.rint(grey + (heat(values) - grey) * np.sqrt(values)[:, None]).astype(np.uint8)


def synthesis_sheet(
    image: np.ndarray, attention: np.ndarray, coarse: np.ndarray, mask: np.ndarray, side: int, columns: int
) -> np.ndarray:
    """u1[4 side, columns side, 3]: a column for each image; image, attention, coarse mask, image in the mask.

    image: u1[m, H, W, 3], attention: f[m, H, W] in 0..1, coarse and mask: b1[m, H, W]."""
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
            tile = Image.fromarray(tile).resize((side, side), Image.Resampling.BICUBIC)
            sheet[r * side : (r + 1) * side, c * side : (c + 1) * side] = tile
    return sheet
