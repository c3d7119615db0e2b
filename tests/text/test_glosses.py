from __future__ import annotations

import numpy as np

from anyscene.datasets import label_set
from anyscene.text.glosses import Vocabulary, glosses
from tests.builders import miniature


def vocabulary(name, gloss) -> Vocabulary:
    return Vocabulary(("bed", "door"), ("to sleep", None), np.array(name), np.array(gloss))


def test_a_text_is_as_like_a_class_as_its_name_or_its_gloss():
    classes = vocabulary([[1.0, 0, 0], [0, 1, 0]], [[0, 0, 1.0], [0, 1, 0]])
    use, name = np.array([0.6, 0.2, 0.7]), np.array([0.8, 0.1, 0.2])
    np.testing.assert_allclose(classes.likeness(use), [0.7, 0.2])
    np.testing.assert_allclose(classes.likeness(name), [0.8, 0.1])
    assert classes.by_gloss(use).tolist() == [True, False] and not classes.by_gloss(name).any()


def test_glosses_are_wordnets_and_a_class_without_one_has_its_name():
    assert glosses()["bed"] == "a piece of furniture that provides a place to sleep"
    assert set(label_set("scannet20").names) - {"otherfurniture"} <= set(glosses())
    encoder = miniature.Spelling()
    classes = Vocabulary.of(encoder, ("bed", "spaceship"), "a {} in a scene")
    assert classes.glosses == (glosses()["bed"], None)
    expected = encoder.encode([glosses()["bed"], "a spaceship in a scene"])
    np.testing.assert_allclose(classes.gloss, expected)
    np.testing.assert_allclose(classes.name, encoder.encode(["a bed in a scene", "a spaceship in a scene"]))
