import json
import shutil
import socket
import sys
import types
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from pipeline import config
from pipeline.errors import ConfigError
from pipeline.segmenters import load_segmenter, weights
from pipeline.segmenters.dense import DenseSegmenter
from pipeline.segmenters.mask import MaskSegmenter
from stages import capability, projection

KINDS = {"dense": DenseSegmenter, "mask": MaskSegmenter}


@pytest.fixture(params=["dense", "mask"])
def copied(request, random_weights, tmp_path):
    shutil.copytree(random_weights / request.param, tmp_path / request.param)
    return tmp_path / request.param


def load(folder, text):
    return KINDS[folder.name](folder.name, folder, text)


def test_version_follows_the_content(copied, minilm):
    before = load(copied, minilm).version
    assert load(copied, minilm).version == before
    tensors = load_file(copied / weights.TENSORS)
    name = sorted(tensors)[0]
    tensors[name] = tensors[name] + 1
    save_file(tensors, copied / weights.TENSORS)
    assert load(copied, minilm).version != before


def test_missing_weights_name_the_file(copied, minilm):
    (copied / weights.TENSORS).unlink()
    with pytest.raises(weights.WeightsError, match=r"model\.safetensors.*make zoo"):
        load(copied, minilm)


@pytest.mark.parametrize("keep", [0, 5, 1000, -1])
def test_truncated_weights(copied, minilm, keep):
    whole = (copied / weights.TENSORS).read_bytes()
    (copied / weights.TENSORS).write_bytes(whole[:keep])
    with pytest.raises(weights.WeightsError, match="damaged"):
        load(copied, minilm)


def test_damaged_description(copied, minilm):
    (copied / weights.DESCRIPTION).write_text('{"architecture":')
    with pytest.raises(weights.WeightsError, match="damaged"):
        load(copied, minilm)


def test_a_pickle_is_not_executed(copied, minilm):
    torch.save({"a": torch.zeros(1)}, copied / weights.TENSORS)
    with pytest.raises(weights.WeightsError, match="damaged"):
        load(copied, minilm)


def test_other_kind_or_text_space(copied, minilm):
    description = json.loads((copied / weights.DESCRIPTION).read_text())
    description["architecture"]["width"] = 512
    (copied / weights.DESCRIPTION).write_text(json.dumps(description))
    with pytest.raises(weights.WeightsError, match="384 wide text space of minilm"):
        load(copied, minilm)


def test_tensors_that_do_not_fit(copied, minilm):
    tensors = load_file(copied / weights.TENSORS)
    name = next(n for n in tensors if n.startswith("pyramid"))
    save_file({n: t for n, t in tensors.items() if n != name}, copied / weights.TENSORS)
    with pytest.raises(weights.WeightsError, match=name):
        load(copied, minilm)
    save_file(tensors | {name: torch.zeros(3, 3, 3, 3, 3)}, copied / weights.TENSORS)
    with pytest.raises(weights.WeightsError, match="shape"):
        load(copied, minilm)


def test_loaded_by_name_from_the_parameters(random_weights):
    params = config.load()
    section = config.dataclasses.replace(params.segmenters, weights=str(random_weights))
    params = config.dataclasses.replace(params, segmenters=section)
    assert isinstance(load_segmenter("mask", params), MaskSegmenter)
    assert isinstance(load_segmenter("dense", params), DenseSegmenter)
    with pytest.raises(ConfigError, match="known: dense, lseg, mask"):
        load_segmenter("seem", params)


class Code:
    """Runs a command when it is unpickled by a careless reader."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


def test_a_lightning_checkpoint_is_read_without_lightning(tmp_path, monkeypatch):
    """Its callbacks are keyed by their classes, and settings lie in a dict of its own."""
    module = types.ModuleType("pytorch_lightning.callbacks")
    module.Hook = type("Hook", (), {"__module__": module.__name__})
    module.Settings = type("Settings", (dict,), {"__module__": module.__name__})
    hook, settings = module.Hook(), module.Settings(rate=0.1)
    hook.best = settings.best = 0.5
    content = {"net.a": torch.ones(2)}
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pytorch_lightning", types.ModuleType("pytorch_lightning"))
        patch.setitem(sys.modules, module.__name__, module)
        callbacks = {module.Hook: {"best": 1}, "hook": hook}
        torch.save({"state_dict": content, "callbacks": callbacks, "settings": settings}, tmp_path / "a.ckpt")
    state = weights.read_published(tmp_path / "a.ckpt", "there")
    assert list(state) == ["net.a"] and torch.equal(state["net.a"], torch.ones(2))


@pytest.mark.parametrize("scanned", [True, False])
def test_code_in_published_weights_is_not_run(tmp_path, monkeypatch, scanned):
    """Neither where the scan for foreign names finds it, nor where it should ever overlook it."""
    if not scanned:
        monkeypatch.setattr(weights, "get_unsafe_globals_in_checkpoint", lambda file: [])
    code = Code(tmp_path / "ran")
    torch.save({"state_dict": {"net.a": torch.ones(2)}, "callbacks": code}, tmp_path / "a.ckpt")
    wanted = r"a\.ckpt: holds more than tensors" + (r" \(builtins.*there" if scanned else "; .*there")
    with pytest.raises(weights.WeightsError, match=wanted):
        weights.read_published(tmp_path / "a.ckpt", "there")
    assert not (tmp_path / "ran").exists()
    torch.load(tmp_path / "a.ckpt", weights_only=False)  # a careless reader runs it
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["a.ckpt", "a.safetensors"])
@pytest.mark.parametrize("keep", [0, 5, 300, -1])
def test_truncated_published_weights(tmp_path, name, keep):
    save = save_file if name.endswith("safetensors") else torch.save
    save({"net.a": torch.ones(500)}, tmp_path / name)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:keep])
    with pytest.raises(
        weights.WeightsError, match=rf"{name}: damaged weights .*get the file again from there"
    ):
        weights.read_published(tmp_path / name, "there")


def test_published_weights_that_are_missing_or_none(tmp_path):
    with pytest.raises(weights.WeightsError, match=r"a\.ckpt: no such weights; get them from there"):
        weights.read_published(tmp_path / "a.ckpt", "there")
    for content in ([torch.ones(1)], {"state_dict": {"net.a": 3}}, torch.ones(1)):
        torch.save(content, tmp_path / "a.ckpt")
        with pytest.raises(weights.WeightsError, match="holds no state dict"):
            weights.read_published(tmp_path / "a.ckpt", "there")


def test_a_stage_without_weights_touches_no_scene(tmp_path, monkeypatch):
    """The command ends with exit code 1 and one message, and nothing is written."""
    values = yaml.safe_load(Path("params.yaml").read_text())
    values["segmenters"] |= {"names": ["lseg"], "weights": str(tmp_path / "weights")}
    values["text"]["encoder"] = "open_clip:ViT-B-32:openai"
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("asked the network"))
    for stage in (projection, capability):
        monkeypatch.setattr(stage.store, "keys", lambda *_: pytest.fail("looked at scenes"))
        result = CliRunner().invoke(stage.app, ["lseg"])
        assert result.exit_code == 1
        assert "demo_e200.ckpt: no LSeg weights" in " ".join(result.output.split())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["params.yaml"]
