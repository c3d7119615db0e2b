import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.color import rgb2lab

from anyscene import text
from anyscene.project.parameters import Text
from anyscene.segmenters.captions import captioner, colour, noun_phrase


@pytest.mark.parametrize(
    ("pixel", "name"),
    [
        ((250, 250, 250), "white"),
        ((8, 8, 8), "black"),
        ((128, 128, 128), "grey"),
        ((205, 30, 35), "red"),
        ((40, 90, 190), "blue"),
        ((120, 80, 45), "brown"),
        ((230, 120, 30), "orange"),
        ((60, 140, 70), "green"),
        ((235, 215, 60), "yellow"),
        ((225, 205, 170), "beige"),
    ],
)
def test_names_plain_colours(pixel, name):
    assert colour.adjectives(np.full((40, 3), pixel, np.uint8)) == (name,)


def test_names_a_second_colour_only_where_it_covers_enough():
    white, red = [250, 250, 250], [200, 30, 30]
    assert colour.adjectives(np.array([white] * 60 + [red] * 40, np.uint8)) == ("white", "red")
    assert colour.adjectives(np.array([white] * 80 + [red] * 20, np.uint8)) == ("white",)


def test_captions_look_under_the_mask_alone():
    image = np.zeros((8, 10, 3), np.uint8)
    image[2:5, 3:7] = (230, 120, 30)
    owner = np.full((8, 10), -1, np.int32)
    owner[2:5, 3:7] = 0
    owner[0, 0] = 2  # one pixel
    colours = colour.ColourCaptioner()
    names = ["chair", "unseen", "table"]
    said = colours.modifiers(image, [owner == number for number in range(3)])
    assert said == ["orange", "", "black"]
    found = captioner.caption_map(owner, names, said)
    assert found.text == ("an orange chair in a scene", "a black table in a scene")
    assert np.array_equal(found.caption, np.where(owner == 2, 1, owner))


def test_no_pixels_no_adjectives():
    image, nothing = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), bool)
    assert colour.ColourCaptioner().modifiers(image, [nothing]) == [""]


def test_cielab_equals_scikit_image():
    rgb = np.random.default_rng(0).integers(0, 256, (500, 3), dtype=np.uint8)
    assert np.abs(colour.cielab(rgb) - rgb2lab(rgb[None])[0]).max() < 0.05


@given(st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=1, max_size=2000))
def test_always_one_or_two_distinct_adjectives(pixels):
    words = colour.adjectives(np.array(pixels, np.uint8))
    assert len(words) in (1, 2) and len(set(words)) == len(words)


def test_colours_never_change_what_a_sentence_names():
    encoder = text.load_text_encoder(Text("minilm", "a {} in a scene"))
    nouns = [
        "wall",
        "cabinet",
        "bed",
        "sofa",
        "table",
        "bookshelf",
        "picture",
        "desk",
        "shower curtain",
        "sink",
    ]
    target = text.embeddings(encoder, nouns)
    colours = dict.fromkeys(name for name, _ in colour.PROTOTYPES)
    for first, second in itertools.pairwise(colours):
        sentences = [noun_phrase.sentence(f"{first} and {second}", noun) for noun in nouns]
        assert np.array_equal((encoder.encode(sentences) @ target.T).argmax(1), np.arange(len(nouns)))
