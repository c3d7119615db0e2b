"""Colours, worked out by hand."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from anyscene.show import palette
from anyscene.tasks.layer import Layer

BLUE, YELLOW, GREY = (0, 34, 78), (254, 232, 56), (125, 130, 138)  # the ends of Cividis; what is not known


def test_the_colours_of_errors():
    found = palette.error_colours(np.array([1, 2, -1, -1]), np.array([1, 1, 1, -1]))
    assert found.tolist() == [[178, 196, 214], [213, 94, 0], list(GREY), list(GREY)]
    assert found.dtype == np.uint8


def test_heat_lies_over_dark_grey():
    """White has a lightness of 255, so its grey is 40 + 0.45 * 255 = 154.75. At a heat of a quarter half of
    the colour is that of heat."""
    white, black, red = [255, 255, 255], [0, 0, 0], [200, 0, 0]
    cold = palette.heat_over(np.array([white, black, red], np.uint8), np.zeros(3, np.float32))
    assert cold.tolist() == [[155] * 3, [40] * 3, [67] * 3]  # 40 + 0.45 * 0.299 * 200 = 66.91
    hot = palette.heat_over(np.array([white, black], np.uint8), np.ones(2, np.float32))
    assert hot.tolist() == [list(YELLOW)] * 2
    (quarter,) = palette.heat_over(np.array([white], np.uint8), np.array([0.25], np.float32))
    own = palette.heat(np.float32(0.25)).astype(float)
    assert np.abs(quarter - (154.75 + own) / 2).max() <= 0.5


def test_values_are_heat_and_what_is_not_known_is_grey():
    layer = Layer("a", "a", values=np.array([0, 1, np.nan], np.float32))
    assert palette.layer_colours(layer).tolist() == [list(BLUE), list(YELLOW), list(GREY)]
    own = np.array([[1, 2, 3]], np.uint8)
    assert palette.layer_colours(Layer("a", "a", own)) is own


def test_colours_of_a_page():
    assert palette.hexadecimal((1, 160, 255)) == "#01a0ff"
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (8, 6, 3), np.uint8)
    kind, content = palette.data_uri(noise).split(",")
    assert kind == "data:image/webp;base64"
    image = Image.open(io.BytesIO(base64.b64decode(content)))
    assert (image.format, image.size) == ("WEBP", (6, 8))
    finer, coarser = (
        len(palette.data_uri(np.kron(noise, np.ones((9, 9, 1), np.uint8)), q)) for q in (95, 20)
    )
    assert finer > coarser


def test_the_sheet_of_synthesised_images():
    """Tiles of 2 x 2 pixels, for two images of three; below each other image, attention, coarse mask, and
    what is inside SAM's mask: the rest has a fifth of its brightness."""
    image = np.arange(0, 36 * 5, 5, dtype=np.uint8).reshape(3, 2, 2, 3)
    attention = np.zeros((3, 2, 2), np.float32)
    attention[0, 0, 1] = attention[1] = 1
    coarse = np.zeros((3, 2, 2), bool)
    coarse[0, 1, 0] = coarse[1] = True
    mask = np.zeros((3, 2, 2), bool)
    mask[0, 0, 0] = mask[1] = True
    found = palette.synthesis_sheet(image, attention, coarse, mask, 2, 2)
    assert found.shape == (8, 4, 3)
    assert np.array_equal(found[:2], np.concatenate([image[0], image[1]], 1))
    heat = [[BLUE, YELLOW, YELLOW, YELLOW], [BLUE, BLUE, YELLOW, YELLOW]]
    assert found[2:4].tolist() == [[list(colour) for colour in line] for line in heat]
    assert found[4:6, :, 0].tolist() == [[40, 40, 235, 235], [235, 40, 235, 235]]
    assert (found[4:6] == found[4:6, :, :1]).all()
    assert found[6, 0].tolist() == image[0, 0, 0].tolist() == [0, 5, 10]
    assert found[6:, :2].reshape(4, 3)[1:].tolist() == [[3, 4, 5], [6, 7, 8], [9, 10, 11]]
    assert np.array_equal(found[6:, 2:], image[1])


def test_a_sheet_has_room_for_images_that_there_are_not():
    one = np.full((1, 3, 3, 3), 255, np.uint8)
    flat = np.ones((1, 3, 3), bool)
    found = palette.synthesis_sheet(one, flat.astype(np.float32), flat, flat, 4, 3)
    assert found.shape == (16, 12, 3) and (found[:, 4:] == 128).all() and (found[:4, :4] == 255).all()
