"""An encoder of two numbers embeds each text by itself, and once."""

import numpy as np
import pytest

from anyscene.text.remembering import Remembering, of_length_1


class Lengths(Remembering):
    """Embeds a text by its length. Lists what it embeds."""

    width = 2

    def __init__(self):
        super().__init__()
        self.asked = []

    def embed(self, text):
        self.asked.append(text)
        return of_length_1(np.array([len(text), 1.0]))


def test_rows_are_in_the_order_of_the_texts_and_each_text_is_embedded_once():
    encoder = Lengths()
    found = encoder.encode(["abc", "a", "abc"])
    assert found.dtype == np.float32 and np.allclose(
        found, np.array([[3, 1], [1, 1], [3, 1]]) / np.sqrt([[10], [2], [10]])
    )
    assert encoder.encode(["a", "ab", "abc"])[0].tobytes() == found[1].tobytes()
    assert encoder.asked == ["abc", "a", "ab"]


def test_what_was_returned_may_be_changed():
    encoder = Lengths()
    encoder.encode(["abc"])[:] = 0
    assert encoder.encode(["abc"]).all()


def test_no_texts_and_one_string():
    assert Lengths().encode([]).shape == (0, 2)
    with pytest.raises(TypeError, match="encode takes a sequence of texts, not one string"):
        Lengths().encode("abc")


def test_length_is_taken_in_single_precision():
    half = of_length_1(np.array([300, 400], np.float16))  # their squares are beyond half precision
    assert half.dtype == np.float32 and np.allclose(half, [0.6, 0.8])
