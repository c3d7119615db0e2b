"""Heat maps of queries: a picture for each text, in which the groups that it found are numbered by rank, over
the scale of its colours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from anyscene.arrays import B1, U1
from anyscene.show import palette
from anyscene.show.viewpoint import OVERSAMPLING, Viewpoint, corner_viewpoint
from anyscene.tasks.query.groups import DECIMALS
from anyscene.tasks.query.session import Answer
from anyscene.tasks.query.similarity import range_of
from anyscene.tasks.surface import Surface

COLUMNS = 3  # pictures in a row, at most
CAPTION, SCALE, MARGIN, DISC = 44, 52, 14, 13  # pixels
BAR = 12  # of the scale, pixels high
MIDDLE = 128  # grey of a point of middling lightness
GROUND, INK, MARK = (255, 255, 255), (40, 44, 52), (255, 255, 255)


def colours(surface: Surface, answers: Sequence[Answer]) -> U1:
    """u1[N, 3]: the scene in grey under the colours of heat. Each point has the heat of the text that
    describes it best. The answers must have scores for all points."""
    return palette.heat_over(surface.rgb, np.max([answer.heat for answer in answers], axis=0))


def sheet(surface: Surface, answers: Sequence[Answer], size: tuple[int, int]) -> U1:
    """u1[H, W, 3]: a picture of `size` (width, height) under each text and over the scale of its colours, in
    rows. The answers must have scores for all points."""
    view = corner_viewpoint(surface.xyz, surface.normal, size)
    width, height = size[0], CAPTION + size[1] + SCALE
    columns = 2 if len(answers) == 4 else min(COLUMNS, len(answers))
    rows = -(-len(answers) // columns)
    image = Image.new("RGB", (columns * width, rows * height), GROUND)
    draw = ImageDraw.Draw(image)
    for index, answer in enumerate(answers):
        x, y = index % columns * width, index // columns * height
        picture = Image.fromarray(view.picture(colours(surface, [answer]), shaded=False))
        image.paste(picture, (x, y + CAPTION), picture)
        _caption(draw, answer, x, y, width)
        image.paste(_scale(answer, width), (x, y + CAPTION + size[1]))
        for rank, match in enumerate(answer.matches, 1):
            if place := _place(view, np.isin(surface.superpoint, match.superpoints)):
                _number(draw, x + place[0], y + CAPTION + place[1], str(rank))
    return np.asarray(image)


def _caption(draw: ImageDraw.ImageDraw, answer: Answer, x: int, y: int, width: int) -> None:
    text = answer.text + "".join(f", not {negative}" for negative in answer.negative)
    font, room = ImageFont.load_default(24), width - 2 * MARGIN
    if font.getlength(text) > room:
        while text and font.getlength(text + "...") > room:
            text = text[:-1]
        text += "..."
    draw.text((x + MARGIN, y + CAPTION / 2), text, INK, font, anchor="lm")


def _scale(answer: Answer, width: int) -> Image.Image:
    """What the colours mean, which is another score for each text, and the score of the first group."""
    image, room = Image.new("RGB", (width, SCALE), GROUND), width - 2 * MARGIN
    grey = np.full((room, 3), MIDDLE, np.uint8)
    bar = np.tile(palette.heat_over(grey, np.linspace(0, 1, room)), (BAR, 1, 1))
    image.paste(Image.fromarray(bar), (MARGIN, MARGIN))
    low, high = range_of(answer.score)
    first = f"first group {answer.matches[0].score:.{DECIMALS}f}" if answer.matches else "no group"
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(16)
    for place, anchor, text in (
        (MARGIN, "la", f"{low:.{DECIMALS}f} and less: half of all points"),
        (width / 2, "ma", f"{first}; each text has its own scale"),
        (width - MARGIN, "ra", f"{high:.{DECIMALS}f} and more"),
    ):
        draw.text((place, MARGIN + BAR + 4), text, INK, font, anchor)
    return image


def _place(view: Viewpoint, member: B1) -> tuple[float, float] | None:
    """The column and row of a number: the visible point of a group that is closest to the middle of its
    visible points; None where none is visible. member: b1[N], whether a point is in the group."""
    row, column = np.nonzero((view.point >= 0) & member[view.point])
    if len(row) == 0:
        return None
    closest = np.argmin((row - row.mean()) ** 2 + (column - column.mean()) ** 2)
    return float(column[closest] / OVERSAMPLING), float(row[closest] / OVERSAMPLING)


def _number(draw: ImageDraw.ImageDraw, x: float, y: float, text: str) -> None:
    draw.ellipse((x - DISC, y - DISC, x + DISC, y + DISC), INK, MARK, 2)
    draw.text((x, y), text, MARK, ImageFont.load_default(18), anchor="mm")
