"""Colours of vertices from an image."""

import numpy as np
from PIL import Image

from anyscene.datasets.geometry.colours import GREY
from anyscene.datasets.geometry.texture import of_corners, sampled

PIXELS = np.array([[[10, 0, 0], [30, 0, 0]], [[50, 0, 0], [70, 0, 0]]], np.uint8)


def red(*uv):
    return sampled(Image.fromarray(PIXELS), np.array(uv, float))[:, 0].tolist()


def test_centres_of_pixels_have_their_colours_and_the_first_row_is_above():
    assert red((0.25, 0.75), (0.75, 0.75), (0.25, 0.25), (0.75, 0.25)) == [10, 30, 50, 70]


def test_between_pixels_colours_are_mixed_and_edges_are_not():
    assert red((0.5, 0.75), (0.25, 0.5), (0.5, 0.5)) == [20, 30, 40]
    assert red((0, 1), (1, 1), (0, 0), (1, 0)) == [10, 30, 50, 70]


def test_textures_repeat():
    assert red((1.25, 0.75), (-0.75, 2.75), (3.75, -0.75)) == [10, 10, 70]


def test_coordinates_that_are_no_numbers_do_no_harm():
    assert red((np.nan, 0.25), (np.inf, np.nan)) == [50, 50]


def test_transparency_and_palettes():
    palette = Image.fromarray(PIXELS).convert("P")
    assert abs(int(sampled(palette, np.array([[0.75, 0.25]]))[0, 0]) - 70) <= 30
    clear = Image.fromarray(np.dstack([PIXELS, np.zeros((2, 2), np.uint8)]))
    assert sampled(clear, np.array([[0.75, 0.25]])).tolist() == [[70, 0, 0]]


def test_a_vertex_has_the_mean_of_its_corners():
    corner = np.array([[[10] * 3, [20] * 3, [30] * 3], [[50] * 3, [40] * 3, [60] * 3]], np.uint8)
    face = np.array([[0, 1, 2], [0, 2, 4]])
    assert of_corners(corner, face, 5)[:, 1].tolist() == [30, 20, 35, GREY, 60]
