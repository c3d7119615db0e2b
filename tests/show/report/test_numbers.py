"""Numbers stand where their patch is, and only where there is room."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from anyscene.show.report import numbers


def test_each_patch_with_room_has_its_number_in_its_middle():
    label = np.full((60, 120), -1)
    label[5:36, 5:36] = 3  # two patches of one label
    label[5:36, 80:111] = 3
    label[40:57, 10:60] = 0  # 17 pixels high: just room
    label[40:56, 70:110] = 7  # 16: none
    found = numbers.places(label)
    assert [value for value, *_ in found] == [0, 3, 3]
    assert found[1:] == [(3, 20, 20), (3, 20, 95)]
    assert found[0][1] == 48 and 18 <= found[0][2] <= 51


def test_numbers_lie_inside_their_patch_whatever_its_shape():
    row, column = np.mgrid[:90, :90]
    label = np.where(np.hypot(row - 45, column - 45) < 20, 1, 0)  # a ring around a disc
    assert {value: label[r, c] for value, r, c in numbers.places(label)} == {0: 0, 1: 1}


def test_a_picture_without_patches_stays_as_it_is():
    picture = np.full((30, 30, 4), 90, np.uint8)
    np.testing.assert_array_equal(numbers.numbered(picture, np.full((30, 30), -1)), picture)
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(numbers.numbered(picture, rng.integers(0, 2, (30, 30))), picture)


def test_the_number_is_that_of_the_legend_and_can_be_read():
    label = np.zeros((40, 40), int)
    drawn = numbers.numbered(np.full((40, 40, 3), 200, np.uint8), label)
    other = numbers.numbered(np.full((40, 40, 3), 200, np.uint8), label + 1)
    assert (drawn == 255).all(-1).any() and (drawn == 0).all(-1).any() and (drawn != other).any()
    far = np.abs(np.mgrid[:40, :40] - 19.5).max(0) > 14
    assert (drawn[far] == 200).all()


def test_the_number_is_one_more_than_the_label_and_stands_at_its_place():
    """In a patch from row 10 to 50 and from column 100 to 160 the middle row is 30; the first column that is
    as far from the left edge as from the upper one is 120."""
    label = np.full((60, 200), -1)
    label[10:51, 100:161] = 11
    (place,) = numbers.places(label)
    assert place == (11, 30, 120)
    ground = np.full((60, 200, 3), 90, np.uint8)
    expected = Image.fromarray(ground)
    ImageDraw.Draw(expected).text(
        (120, 30), "12", (255, 255, 255), ImageFont.load_default(17), anchor="mm", stroke_width=2,
        stroke_fill=(0, 0, 0),
    )  # fmt: skip
    np.testing.assert_array_equal(numbers.numbered(ground, label), np.asarray(expected))


def test_a_patch_needs_room_on_both_sides_of_its_number():
    """Of a strip the number is 9 pixels or more from the edge, where its width is 17 or more; its area must
    be more than 324."""
    for height, width, found in ((17, 60, True), (16, 60, False), (60, 17, True), (60, 16, False)):
        label = np.full((80, 80), -1)
        label[3 : 3 + height, 5 : 5 + width] = 2
        assert bool(numbers.places(label)) == found, (height, width)
    for side, found in ((18, False), (19, True)):  # 18 x 18 = 324
        label = np.full((40, 40), -1)
        label[:side, :side] = 0
        assert bool(numbers.places(label)) == found
