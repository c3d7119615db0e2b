"""The steps of one scene side by side, as a picture for a README or a talk."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from anyscene.arrays import U1
from anyscene.project import store
from anyscene.show import picture_files
from anyscene.show.report import drawn_scene
from anyscene.show.report.drawn_scene import DrawnScene, GalleryPicture
from anyscene.show.report.run import Run

COLUMNS, GAP, CAPTION = 4, 12, 34
GROUND, INK = (255, 255, 255), (40, 44, 52)


def write(scene: str | None, run: Run, path: Path) -> None:
    """Draw a scene into an image file of few colours. scene: its id; None: the first of the split."""
    picture_files.check(path)
    if scene is None:
        scene = store.split_ids(run.artefacts.data("scenes"), run.params.evaluation.split)[0]
    picture_files.write(path, strip(drawn_scene.draw(scene, run)), few_colours=True)


def strip(scene: DrawnScene) -> U1:
    """u1[H, W, 3]: the pictures of a scene with their titles, on white, in rows of four. Steps that do not
    lead to the last one are left out."""
    pictures = [picture for picture in scene.pictures if picture.step]
    size = drawn_scene.SIZE
    width, height = size[0] + GAP, size[1] + CAPTION + GAP
    lines = -(-len(pictures) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * width - GAP, lines * height - GAP), GROUND)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(25)
    for index, picture in enumerate(pictures):
        x, y = index % COLUMNS * width, index // COLUMNS * height
        image = _decode(picture)
        sheet.paste(image, (x, y), image)
        pen.text((x + size[0] / 2, y + size[1] + 4), picture.title, INK, font, anchor="ma")
    return np.asarray(sheet)


def _decode(picture: GalleryPicture) -> Image.Image:
    content = base64.b64decode(picture.image.partition(",")[2])
    return Image.open(io.BytesIO(content)).convert("RGBA")
