"""The steps of one room side by side, as a picture for a README or a talk."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from anyscene.show.report.drawn_scene import PICTURE, DrawnScene, Layer

COLUMNS, GAP, CAPTION = 4, 12, 34
SKIPPED = ("superpoints", "superpoint means", "pixel distillation")
GROUND, INK = (255, 255, 255), (40, 44, 52)


def strip(room: DrawnScene) -> np.ndarray:
    """u1[H, W, 3]: the room's pictures with their titles, on white, in rows of four."""
    layers = [layer for layer in room.layers if layer.title not in SKIPPED]
    width, height = PICTURE[0] + GAP, PICTURE[1] + CAPTION + GAP
    rows = -(-len(layers) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * width - GAP, rows * height - GAP), GROUND)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(25)
    for index, layer in enumerate(layers):
        x, y = index % COLUMNS * width, index // COLUMNS * height
        picture = _decode(layer)
        sheet.paste(picture, (x, y), picture)
        draw.text((x + PICTURE[0] / 2, y + PICTURE[1] + 4), layer.title, INK, font, anchor="ma")
    return np.asarray(sheet)


def _decode(layer: Layer) -> Image.Image:
    content = base64.b64decode(layer.image.partition(",")[2])
    return Image.open(io.BytesIO(content)).convert("RGBA")
