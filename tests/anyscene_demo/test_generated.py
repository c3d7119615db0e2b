"""Generated furniture: repeatable, and the two splits apart where that is claimed."""

import colorsys

import numpy as np
import pytest

from anyscene_demo import generated

SPLITS = ("zoo", "evaluation")


def members(family, split, count=12):
    return [generated.FAMILIES[family](np.random.default_rng(seed), split) for seed in range(count)]


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("family", generated.FAMILIES)
def test_members_are_repeatable_and_stand_in_the_room(family, split):
    first, again, other = (generated.FAMILIES[family](np.random.default_rng(s), split) for s in (5, 5, 6))
    for part in ("vertex", "face", "uv", "texture", "colour", "textures"):
        np.testing.assert_array_equal(getattr(first, part), getattr(again, part))
    assert first.vertex.shape != other.vertex.shape or (first.vertex != other.vertex).any()
    assert (first.class_name, first.split) == (family, split)
    assert first.face.max() < len(first.vertex) and first.texture.max() < len(first.textures)
    assert first.vertex[:, 2].min() >= 0 and first.vertex[:, 2].max() < 2.35
    assert 0.3 < first.size[0] < 2.4 and first.size[1] < 1.0


def test_hues_of_the_splits_are_disjoint():
    halves = {}
    for split in SPLITS:
        rng = np.random.default_rng(0)
        colours = [generated.hue(rng, split, 0, 1, (0.9, 1), (0.9, 1)) / 255 for _ in range(300)]
        halves[split] = np.array([colorsys.rgb_to_hsv(*c)[0] for c in colours]) * 10 % 1
    rounding = 0.01
    zoo = halves["zoo"]
    assert ((zoo < 0.5 + rounding) | (zoo > 1 - rounding)).all()
    assert (halves["evaluation"] > 0.5 - rounding).mean() > 0.98
    assert not ((halves["evaluation"] > rounding) & (halves["evaluation"] < 0.5 - rounding)).any()


def test_hsv_is_that_of_the_standard_library():
    for h, s, v in np.random.default_rng(0).random((50, 3)):
        expected = np.array(colorsys.hsv_to_rgb(h, s, v)) * 255
        assert np.abs(generated.hsv(h, s, v) - expected).max() <= 0.5 + 1e-9


def cut(model):  # where the lower door of a refrigerator ends, as a share of its height
    return model.vertex[16:24, 2].max() / model.size[2]


def foot(model):  # width of a toilet's foot as a share of its seat's
    return np.ptp(model.vertex[:20, 0]) / np.ptp(model.vertex[60:80, 0])


def panels(model):  # of a door
    return len(model.vertex) // 8 - 6


def blueness(model):  # of a bathtub's apron
    return int(model.colour[0, 2]) - int(model.colour[0, 0])


@pytest.mark.parametrize(
    "family, measure", [("refrigerator", cut), ("toilet", foot), ("door", panels), ("bathtub", blueness)]
)
def test_shapes_of_the_splits_are_disjoint(family, measure):
    zoo, evaluation = ([measure(m) for m in members(family, split)] for split in SPLITS)
    assert max(zoo) < min(evaluation) or max(evaluation) < min(zoo)


def test_curtains_of_the_splits_fold_differently():
    points = [
        {len(np.unique(m.vertex[:, 0].round(4))) > 1 and m.size[1] for m in members("curtain", s)}
        for s in SPLITS
    ]
    assert not points[0] & points[1]
