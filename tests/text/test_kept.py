"""Embeddings on disk: the same bits as without, asked of the encoder once."""

import os
import pickle
import sqlite3
from pathlib import Path

import numpy as np
import pytest
import torch

from anyscene import text
from anyscene.errors import TextError
from anyscene.project.parameters import Text
from anyscene.text import kept
from anyscene.text.remembering import Remembering, of_length_1


class Letters(Remembering):
    """Embeds a text by its length. Counts what it is asked."""

    name, width = "letters", 3

    def __init__(self, asked):
        super().__init__()
        self._asked = asked

    def embed(self, text):
        self._asked.append(text)
        return of_length_1(np.array([len(text), 1, 2]))

    def tokens(self, texts, length=None):
        raise TextError("no tokens")


@pytest.fixture
def asked():
    return []


@pytest.fixture
def opened(asked, tmp_path):
    """A function that opens the encoder as another process would."""

    def open_encoder(identity="one", load=lambda: Letters(asked)):
        return kept.KeptEncoder(identity, load, tmp_path / "texts")

    return open_encoder


@pytest.mark.parametrize("threads", [1, 2])
def test_texts_are_embedded_by_one_thread_whoever_asks(threads, opened, monkeypatch):
    """With two a product has other last bits, and what is kept is for all processes."""
    seen = []
    embed = Letters.embed
    monkeypatch.setattr(Letters, "embed", lambda *of: seen.append(torch.get_num_threads()) or embed(*of))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        opened().encode(["a chair"])
        assert (seen, torch.get_num_threads()) == ([1], threads)
    finally:
        torch.set_num_threads(before)


def refuse():
    raise TextError("it was loaded")


def test_what_is_known_needs_no_encoder(opened, asked):
    first = opened().encode(["ab", "c", "ab"])
    assert asked == ["ab", "c"]
    again = opened(load=refuse)
    assert (again.name, again.width) == ("letters", 3)
    assert again.encode(["c", "ab", "ab"]).tobytes() == first[[1, 0, 2]].tobytes()
    assert again.encode([]).shape == (0, 3)


def test_a_new_text_loads_it(opened, asked):
    opened().encode(["ab"])
    again = opened()
    assert again.encode(["ab", "abc"])[1] @ [3, 1, 2] > 3.7  # sqrt(14)
    assert asked == ["ab", "abc"]


def test_another_identity_knows_nothing(opened, asked):
    opened().encode(["ab"])
    opened("two").encode(["ab"])
    assert asked == ["ab", "ab"]


def test_broken_weights_are_refused_at_once(opened):
    with pytest.raises(TextError, match="it was loaded"):
        opened(load=refuse)


def test_tokens_are_those_of_the_encoder(opened):
    with pytest.raises(TextError, match="no tokens"):
        opened().tokens(["ab"])


def test_one_string_is_refused(opened):
    with pytest.raises(TypeError, match="sequence"):
        opened().encode("ab")


def test_a_folder_that_cannot_be_used_costs_only_time(asked, tmp_path):
    (tmp_path / "texts").write_text("a file")
    for _ in range(2):
        kept.KeptEncoder("one", lambda: Letters(asked), tmp_path / "texts").encode(["ab"])
    assert asked == ["ab", "ab"]


def test_what_others_put_there_is_not_run(opened, asked, tmp_path):
    opened().encode(["ab"])

    class Harmful:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "run"),)

    with sqlite3.connect(tmp_path / "texts" / "cache.db") as database:
        harmful = pickle.dumps(Harmful())
        database.execute("UPDATE Cache SET value = ?, mode = 4", (harmful,))  # diskcache's mode of a pickle
    assert opened().encode(["ab"]).shape == (1, 3)
    assert asked == ["ab", "ab"] and not (tmp_path / "run").exists()


def test_cut_bytes_are_not_taken(opened, asked, tmp_path):
    opened().encode(["ab"])
    with sqlite3.connect(tmp_path / "texts" / "cache.db") as database:
        database.execute("UPDATE Cache SET value = x'0000' WHERE length(value) = 12")
    assert opened().encode(["ab"]).all()
    assert asked == ["ab", "ab"]


@pytest.mark.parametrize("changed", ["encoder", "file", "package", "code"])
def test_the_identity_has_all_that_embeddings_depend_on(changed, tmp_path, monkeypatch):
    weights = tmp_path / "weights"
    weights.write_bytes(b"1234")
    before = kept.identity("minilm", [weights])
    assert kept.identity("minilm", [weights]) == before
    if changed == "file":
        weights.write_bytes(b"12345")
    if changed == "package":
        monkeypatch.setattr(kept.metadata, "version", lambda package: "0")
    if changed == "code":
        copy = tmp_path / "text" / "kept.py"
        copy.parent.mkdir()
        copy.write_text("")
        monkeypatch.setattr(kept, "__file__", str(copy))
    assert kept.identity("other" if changed == "encoder" else "minilm", [weights]) != before


def test_minilm_gives_the_same_bits_with_and_without(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    section, names = Text("minilm", "a {} in a scene"), ["wall", "shower curtain"]
    forget()
    encoder = text.load_text_encoder(section)
    first = text.embeddings(encoder, names)
    assert text.load_text_encoder(section) is encoder
    assert [path.name for path in Path(tmp_path, "anyscene", "texts").glob("*.db")] == ["cache.db"]
    forget()
    assert text.embeddings(text.load_text_encoder(section), names).tobytes() == first.tobytes()
    assert text.minilm_encoder.cache_info().currsize == 0  # nothing was loaded for them
    forget()


def forget():
    """As in a new process."""
    text.kept_minilm.cache_clear()
    text.minilm_encoder.cache_clear()
