"""The steps of a scene side by side: where each picture and its title are."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from anyscene.show.report import drawn_scene
from anyscene.show.report.drawn_scene import DrawnScene, GalleryPicture
from anyscene.show.report.strip import strip


def plain(title, shade, step=True, alpha=255):
    """A picture of one grey."""
    content = io.BytesIO()
    Image.new("RGBA", (60, 40), (shade, shade, shade, alpha)).save(content, "PNG")
    return GalleryPicture(
        title, "data:image/png;base64," + base64.b64encode(content.getvalue()).decode(), step=step
    )


@pytest.mark.parametrize(
    ("count", "size", "places"),
    [
        (1, (276, 74), [(0, 0)]),
        (4, (276, 74), [(0, 0), (72, 0), (144, 0), (216, 0)]),
        (6, (276, 160), [(0, 0), (72, 0), (144, 0), (216, 0), (0, 86), (72, 86)]),
    ],
)
def test_pictures_stand_in_rows_of_four_with_their_titles_below(monkeypatch, count, size, places):
    """Of 60 x 40 pixels, with 34 for a title and 12 between."""
    monkeypatch.setattr(drawn_scene, "SIZE", (60, 40))
    pictures = [plain(str(index), 20 * index) for index in range(count)]
    pictures.insert(1, plain("left out", 200, step=False))
    found = strip(DrawnScene("a", tuple(pictures)))
    assert found.shape == (size[1], size[0], 3)
    expected = Image.new("RGB", size, (255, 255, 255))
    for index, (x, y) in enumerate(places):
        expected.paste((20 * index,) * 3, (x, y, x + 60, y + 40))
        font = ImageFont.load_default(25)
        ImageDraw.Draw(expected).text((x + 30, y + 44), str(index), (40, 44, 52), font, anchor="ma")
    np.testing.assert_array_equal(found, np.asarray(expected))


def test_where_a_picture_shows_nothing_it_is_white(monkeypatch):
    monkeypatch.setattr(drawn_scene, "SIZE", (60, 40))
    assert (strip(DrawnScene("a", (plain("", 0, alpha=0),))) == 255).all()
