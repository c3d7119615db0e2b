"""Pictures of heat."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from anyscene.project.layout import Artefacts
from anyscene.show import heat_map, palette
from anyscene.show.viewpoint import NOTHING, Viewpoint
from anyscene.tasks.surface import Surface

INK, WHITE = (40, 44, 52), (255, 255, 255)


def test_a_point_has_the_heat_of_the_text_that_describes_it_best(rooms):
    surface = Surface.read(Artefacts(rooms), "room0")
    left = (np.arange(len(surface)) % 2).astype(np.float32)
    answers = [SimpleNamespace(heat=left), SimpleNamespace(heat=1 - left)]
    every = palette.heat_over(surface.rgb, np.ones(len(surface), np.float32))
    np.testing.assert_array_equal(heat_map.colours(surface, answers), every)
    np.testing.assert_array_equal(
        heat_map.colours(surface, answers[:1]), palette.heat_over(surface.rgb, left)
    )


@pytest.fixture
def board(monkeypatch):
    """Two points: in a picture of 120 x 80 pixels the first fills the left half, and the second a strip of
    the right half, from column 80 to 100. Between and beside is nothing."""
    point = np.full((160, 240), NOTHING, np.int32)
    point[:, :120], point[:, 160:200] = 0, 1
    view = Viewpoint(point, np.ones(2, np.float32))
    monkeypatch.setattr(heat_map, "corner_viewpoint", lambda xyz, normal, size: view)
    rgb = np.array([[255, 255, 255], [0, 0, 0]], np.uint8)
    place = np.zeros((2, 3), np.float32)
    face = np.zeros((0, 3), np.int32)
    return Surface("a", place, rgb, place, face, np.array([4, 7], np.int32))


def answer(text, heat, *groups, negative=()):
    matches = [SimpleNamespace(superpoints=group, score=0.25) for group in groups]
    heat = np.array(heat, np.float32)
    return SimpleNamespace(text=text, negative=negative, score=heat, heat=heat, matches=matches)


@pytest.mark.parametrize(
    ("count", "places"),
    [
        (1, [(0, 0)]),
        (2, [(0, 0), (120, 0)]),
        (3, [(0, 0), (120, 0), (240, 0)]),
        (4, [(0, 0), (120, 0), (0, 176), (120, 176)]),  # two by two
        (5, [(0, 0), (120, 0), (240, 0), (0, 176), (120, 176)]),
    ],
)
def test_a_sheet_has_the_picture_of_each_text_under_its_caption(board, count, places):
    """A caption takes 44 pixels, and a scale 52. Each text but the first finds nothing hot but the first
    point."""
    answers = [answer(str(index), (0, 1) if index == 0 else (1, 0)) for index in range(count)]
    found = heat_map.sheet(board, answers, (120, 80))
    wide, high = (max(place[axis] for place in places) for axis in (0, 1))
    assert found.shape == (high + 176, wide + 120, 3)
    for index, (x, y) in enumerate(places):
        tile = found[y + 44 : y + 124, x : x + 120]
        left, right = ((155,) * 3, (254, 232, 56)) if index == 0 else ((254, 232, 56), (40,) * 3)
        assert (tile[:, :60] == left).all() and (tile[:, 80:100] == right).all()
        assert (tile[:, 60:80] == 255).all() and (tile[:, 100:] == 255).all()
        caption = Image.new("RGB", (120, 44), WHITE)
        font = ImageFont.load_default(24)
        ImageDraw.Draw(caption).text((14, 22), str(index), INK, font, anchor="lm")
        np.testing.assert_array_equal(found[y : y + 44, x : x + 120], np.asarray(caption))
    blank = (slice(176, None), slice(240, None)) if count == 5 else (slice(0), slice(0))
    assert (found[blank] == 255).all()


def test_groups_are_numbered_by_rank_in_their_middle(board):
    """The middle of the right strip is at (89.5, 39.5) of the picture, that of the left half at (29.5, 39.5).
    A disc has a radius of 13 and a white edge of two. What is not visible has no number."""
    first = answer("a", (0, 0), (7,), (9,), (4, 5))
    found = heat_map.sheet(board, [first], (120, 80)).astype(int)
    plain = heat_map.sheet(board, [answer("a", (0, 0))], (120, 80)).astype(int)
    for low, high, middle, number in ((60, 120, 89.5, "1"), (0, 60, 29.5, "3")):
        alone = Image.fromarray(plain[:124].astype(np.uint8))
        draw = ImageDraw.Draw(alone)
        x, y = middle, 44 + 39.5
        draw.ellipse((x - 13, y - 13, x + 13, y + 13), INK, WHITE, 2)
        draw.text((x, y), number, WHITE, ImageFont.load_default(18), anchor="mm")
        np.testing.assert_array_equal(found[:124, low:high], np.asarray(alone)[:, low:high])


@pytest.mark.parametrize(
    ("text", "negative", "shown"),
    [
        ("a bed", (), "a bed"),
        ("a bed", ("a chair", "x"), "a bed, not a chair, not x"),
        ("W" * 60, (), "WWWWWWWWWWWWWWW..."),
    ],
)
def test_a_caption_says_what_was_asked_and_is_cut_where_it_has_no_room(board, text, negative, shown):
    """372 pixels of 400; a W of this font takes 22.5 or so."""
    font = ImageFont.load_default(24)
    if text.startswith("W"):
        letters = next(n for n in range(60, 0, -1) if font.getlength("W" * n + "...") <= 400 - 28)
        shown = "W" * letters + "..."
        assert 10 < letters < 20
    found = heat_map.sheet(board, [answer(text, (0, 0), negative=negative)], (400, 80))
    caption = Image.new("RGB", (400, 44), WHITE)
    ImageDraw.Draw(caption).text((14, 22), shown, INK, font, anchor="lm")
    np.testing.assert_array_equal(found[:44], np.asarray(caption))


@pytest.mark.parametrize(("groups", "first"), [([(4,)], "first group 0.250"), ([], "no group")])
def test_a_scale_says_what_the_colours_mean_and_the_score_of_the_first_group(board, groups, first):
    """It is 14 pixels from all sides: a bar of 12, and the texts under it. The colours are those that a point
    of middling lightness has. Half of all points have the median or less; the scores are 0.1 and 0.5."""
    scale = answer("a", (0.1, 0.5), *groups)
    found = heat_map.sheet(board, [scale], (700, 80))[44 + 80 :]
    grey = np.full((672, 3), 128, np.uint8)
    bar = palette.heat_over(grey, np.linspace(0, 1, 672))
    assert (found[14:26, 14:686] == bar).all() and (found[:14] == 255).all()
    assert (bar[0] == palette.heat_over(grey[:1], np.zeros(1))).all() and (bar[-1] == (254, 232, 56)).all()
    under = Image.new("RGB", (700, 26), WHITE)
    draw, font = ImageDraw.Draw(under), ImageFont.load_default(16)
    draw.text((14, 4), "0.300 and less: half of all points", INK, font, "la")
    draw.text((350, 4), f"{first}; each text has its own scale", INK, font, "ma")
    draw.text((686, 4), "0.498 and more", INK, font, "ra")
    np.testing.assert_array_equal(found[26:], np.asarray(under))
