"""How like a text a feature is."""

from __future__ import annotations

import numpy as np

from anyscene.tasks.query import similarity
from anyscene.tasks.query.similarity import By
from anyscene.text.glosses import Vocabulary


def test_cosine_is_that_of_the_vectors_and_nan_without_a_feature():
    feature = np.array([[3, 4], [0, 0], [-1, 0], [5, 5]], np.float32)
    found = similarity.cosine(feature, np.array([True, True, True, False]), np.array([2.0, 0]))
    np.testing.assert_allclose(found, [0.6, 0, -1, np.nan], rtol=1e-6)


def test_cosine_of_several_texts_is_a_column_each():
    feature, valid = np.array([[3, 4], [1, 0]], np.float32), np.array([True, False])
    found = similarity.cosine(feature, valid, np.array([[1.0, 0], [0, 2]]))
    np.testing.assert_allclose(found, [[0.6, 0.8], [np.nan, np.nan]], rtol=1e-6)


def test_any_negative_text_that_stands_out_more_wins_whatever_its_level():
    positive = np.array([0.1, 0.1, 0.1, 0.3, 0.5, np.nan], np.float32)
    far, near = np.array([0.1, 0, 0, 0, 0.05, 0.5]), np.array([0.6, 0.6, 0.6, 0.75, 0.9, 0.9])
    assert similarity.closer_to([near], positive).tolist() == [False] * 5 + [
        True
    ]  # always higher, but evenly
    assert similarity.closer_to([far], positive).tolist() == [True] + [False] * 4 + [True]
    assert similarity.closer_to([], positive).tolist() == [False] * 6


def vocabulary(name, gloss) -> Vocabulary:
    return Vocabulary(("bed", "door"), ("to sleep", None), np.array(name), np.array(gloss))


def known(share, general) -> np.ndarray:
    """[N, V + 1]: shares of the classes, and the cosine with what these have in common."""
    return np.column_stack([share, general])


def test_through_the_vocabulary_a_point_is_what_its_class_is():
    cosine = np.array([[0.9, 0.2], [0.5, 0.5], [np.nan, np.nan]], np.float32)
    share = similarity.shares(cosine)
    np.testing.assert_allclose(share, [[1, 0], [0.5, 0.5], [np.nan, np.nan]], atol=1e-6)
    classes = vocabulary([[1.0, 0, 0], [0, 1, 0]], [[1.0, 0, 0], [0, 1, 0]])
    weight = similarity.through_vocabulary(classes, np.array([[0.6, 0.2, 0.7]]))
    found = known(share, [0.3, 0.1, 0.2]) @ weight
    np.testing.assert_allclose(found[:, 0], [0.6, 0.4, np.nan], atol=1e-6)  # the first; half of either; none


def test_what_all_classes_share_finds_nothing():
    classes = vocabulary([[0.8, 0, 0.6], [0, 0.8, 0.6]], np.zeros((2, 3)))  # all have the third in common
    np.testing.assert_allclose(classes.common, np.array([4, 4, 6]) / np.sqrt(68))
    unsure, sure = classes.common, classes.name[0]
    feature, valid = np.array([unsure, sure, sure]), np.array([True, True, False])
    general = similarity.cosine(feature, valid, classes.common)

    def own(text):
        beside = known(np.full((3, 2), 0.5), general) @ similarity.own(classes, text[None])
        return similarity.cosine(feature, valid, text) + beside[:, 0]

    np.testing.assert_allclose(own(classes.common), [0, 0, np.nan], atol=1e-6)
    np.testing.assert_allclose(own(sure), [0, 1 - (6.8**2) / 68, np.nan], atol=1e-6)


def test_both_is_the_mean_of_classes_and_features():
    classes = vocabulary([[0.8, 0, 0.6], [0, 0.8, 0.6]], np.eye(3)[:2])
    texts = np.array([[0.6, 0.2, 0.7], [0, 0, 1]])
    through, own = similarity.through_vocabulary(classes, texts), similarity.own(classes, texts)
    cosine, row = np.array([[0.3, 0.9], [np.nan, np.nan]]), known([[0.7, 0.3], [np.nan, 0]], [0.8, 0.1])

    def score(by):
        share, weight = similarity.weights(classes, texts, by)
        return share * cosine + row @ weight

    features, vocabulary_ = cosine + row @ own, row @ through
    np.testing.assert_allclose(score(By.both), (features + vocabulary_) / 2, atol=1e-6)
    np.testing.assert_array_equal(score(By.vocabulary)[0], vocabulary_[0])
    np.testing.assert_array_equal(score(By.cosine)[0], cosine[0])
    assert np.isnan(score(By.both)[1]).all()


def test_relative_runs_from_the_median_to_the_top():
    values = np.append(np.linspace(0, 1, 1001), np.nan).astype(np.float32)
    found = similarity.relative(values)
    assert found[500] == 0 and found[0] == 0 and found[-1] == 0 and found[1000] == 1
    assert (np.diff(found[:-1]) >= 0).all()
    assert (similarity.relative(np.full(3, np.nan, np.float32)) == 0).all()
