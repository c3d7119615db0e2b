"""Published weights are read without running anything, and only if they are what was published."""

import hashlib
import os
import sys
import time
import types

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from anyscene.capability import synthesis
from anyscene.errors import WeightsError
from anyscene.project import digests
from anyscene.segmenters import pretrained
from anyscene.weights import catalogue, reading
from tests.builders.malice import Code


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
    state = reading.read(tmp_path / "a.ckpt", "there")
    assert list(state) == ["net.a"] and torch.equal(state["net.a"], torch.ones(2))


@pytest.mark.parametrize("scanned", [True, False])
def test_code_in_published_weights_is_not_run(tmp_path, monkeypatch, scanned):
    """Neither where the scan for foreign names finds it, nor where it should ever overlook it."""
    if not scanned:
        monkeypatch.setattr(reading, "get_unsafe_globals_in_checkpoint", lambda file: [])
    code = Code(tmp_path / "ran")
    torch.save({"state_dict": {"net.a": torch.ones(2)}, "callbacks": code}, tmp_path / "a.ckpt")
    wanted = r"a\.ckpt: (damaged, or )?holds more than tensors"
    wanted += r" \(builtins.*\); nothing of it ran; .*there" if scanned else "; .*there"
    with pytest.raises(WeightsError, match=wanted):
        reading.read(tmp_path / "a.ckpt", "there")
    assert not (tmp_path / "ran").exists()
    torch.load(tmp_path / "a.ckpt", weights_only=False)  # a careless reader runs it
    assert (tmp_path / "ran").exists()


def test_every_block_of_a_pytorch_file_is_held_to_its_checksum(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "BLOCK", 100)
    torch.save({"net.a": torch.arange(500.0)}, tmp_path / "a.ckpt")
    assert reading.read(tmp_path / "a.ckpt", "there")["net.a"][499] == 499
    content = (tmp_path / "a.ckpt").read_bytes()
    last = content.index(np.float32(499).tobytes())
    (tmp_path / "a.ckpt").write_bytes(content[:last] + np.float32(498).tobytes() + content[last + 4 :])
    with pytest.raises(WeightsError, match=r"a\.ckpt: damaged weights \(Bad CRC-32"):
        reading.read(tmp_path / "a.ckpt", "there")


@pytest.mark.parametrize("name", ["a.ckpt", "a.safetensors"])
@pytest.mark.parametrize("keep", [0, 5, 300, -1])
def test_truncated_published_weights(tmp_path, name, keep):
    save = save_file if name.endswith("safetensors") else torch.save
    save({"net.a": torch.ones(500)}, tmp_path / name)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:keep])
    with pytest.raises(WeightsError, match=rf"{name}: damaged weights .*get the file again from there"):
        reading.read(tmp_path / name, "there")


def test_published_weights_that_are_missing_or_none(tmp_path):
    with pytest.raises(WeightsError, match=r"a\.ckpt: no such weights; get them from there"):
        reading.read(tmp_path / "a.ckpt", "there")
    for content in ([torch.ones(1)], {"state_dict": {"net.a": 3}}, torch.ones(1)):
        torch.save(content, tmp_path / "a.ckpt")
        with pytest.raises(WeightsError, match="holds no state dict"):
            reading.read(tmp_path / "a.ckpt", "there")


ONES = torch.ones(3, 3)


@pytest.mark.filterwarnings("ignore")  # torch's, of what it means to change
@pytest.mark.parametrize(
    ("make", "message", "safetensors"),
    [
        (lambda: torch.quantize_per_tensor(ONES, 1.0, 0, torch.qint8), "quantised", False),
        (lambda: ONES.to(torch.int8), "quantised", True),
        (ONES.to_sparse, "sparse", False),
        (ONES.to_sparse_csr, "sparse", False),
        (lambda: ONES.to(torch.complex64), "complex", True),
        (lambda: ONES.to("meta"), "without values", False),
    ],
)
def test_tensors_that_no_network_takes(tmp_path, make, message, safetensors):
    wanted = rf"b is {message}, wanted a plain tensor.*get the file again from there"
    torch.save({"state_dict": {"net.a": ONES, "b": make()}}, tmp_path / "a.ckpt")
    with pytest.raises(WeightsError, match=rf"a\.ckpt: {wanted}"):
        reading.read(tmp_path / "a.ckpt", "there")
    if safetensors:  # can hold it
        save_file({"net.a": ONES, "b": make()}, tmp_path / "a.safetensors")
        with pytest.raises(WeightsError, match=rf"a\.safetensors: {wanted}"):
            reading.read(tmp_path / "a.safetensors", "there")


def test_names_of_tensors_are_texts(tmp_path):
    torch.save({"net.a": ONES, 3: ONES}, tmp_path / "a.ckpt")
    with pytest.raises(WeightsError, match=r"a\.ckpt: holds no state dict: 3 is not the name.*from there"):
        reading.read(tmp_path / "a.ckpt", "there")


def published(monkeypatch, name, content, size=None):
    """One entry, with the sha256 of `content`."""
    file = catalogue.File(name, hashlib.sha256(content).hexdigest(), size)
    entry = catalogue.PublishedWeights("a", "", "there", "", "a", (file,), url="http://there")
    monkeypatch.setattr(catalogue, "CATALOGUE", (entry,))


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
def test_what_was_published_is_known_wherever_it_lies(tmp_path, monkeypatch, name):
    save = save_file if name.endswith("safetensors") else torch.save
    save({"net.a": torch.ones(500)}, tmp_path / name)
    content = (tmp_path / name).read_bytes()
    assert not reading.intact(tmp_path / name)  # nobody published it
    published(monkeypatch, name, content, len(content))
    assert reading.intact(tmp_path / name) and list(reading.read(tmp_path / name, "there")) == ["net.a"]
    place = content.rindex(torch.ones(2).numpy().tobytes())
    (tmp_path / name).write_bytes(content[:place] + b"\x01" + content[place + 1 :])
    with pytest.raises(WeightsError, match=rf"{name}: damaged or not what was published .*weights fetch a"):
        reading.read(tmp_path / name, "there")
    (tmp_path / name).write_bytes(content + b" ")
    with pytest.raises(WeightsError, match=rf"{name}: .* bytes, the published file has"):
        reading.intact(tmp_path / name)
    (tmp_path / name).rename(tmp_path / f"mine_{name}")
    assert not reading.intact(tmp_path / f"mine_{name}")


@pytest.fixture
def hashed(monkeypatch):
    """A call in the list for each time that a file was read for its hash."""
    digest, calls = hashlib.file_digest, []
    monkeypatch.setattr(hashlib, "file_digest", lambda *of: calls.append(of) or digest(*of))
    return calls


def test_a_file_is_hashed_once(tmp_path, monkeypatch, hashed):
    file = tmp_path / "a.safetensors"
    save_file({"net.a": torch.ones(500)}, file)
    content = file.read_bytes()
    published(monkeypatch, file.name, content, len(content))
    reading.intact(file), reading.intact(file)
    assert len(hashed) == 2  # just written, it may be written again before the clock ticks
    monkeypatch.setattr(digests, "SETTLED", -60.0)
    hashed.clear()
    synthesis.require_weights(file)
    pretrained.require_intact(tmp_path, [file.name])
    assert list(reading.read(file, "there")) == ["net.a"]
    assert len(hashed) == 1


@pytest.mark.parametrize("replaced", [True, False])
def test_a_hashed_file_that_is_altered_is_hashed_again(tmp_path, monkeypatch, replaced):
    """A changed file is read again even if neither its size nor the time of its content shows the change."""
    monkeypatch.setattr(digests, "SETTLED", -60.0)
    file = tmp_path / "a.bin"
    file.write_bytes(b"abc")
    published(monkeypatch, file.name, b"abc")
    assert reading.intact(file)
    state = file.stat()
    time.sleep(0.05)  # a tick
    if replaced:
        file.rename(tmp_path / "kept.bin")
    file.write_bytes(b"abd")
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (state.st_size, state.st_mtime_ns)
    with pytest.raises(WeightsError, match=r"a\.bin: damaged or not what was published"):
        reading.intact(file)


@pytest.mark.parametrize("where", ["a/b.bin", "a/sub/b.bin", "a/sub/deep/b.bin"])
def test_what_was_noted_when_it_was_fetched_is_held_to(tmp_path, where):
    file = tmp_path / where
    file.parent.mkdir(parents=True)
    file.write_bytes(b"abc")
    name = file.relative_to(tmp_path / "a").as_posix()
    (tmp_path / "a" / reading.SUMS).write_text(f"{hashlib.sha256(b'abc').hexdigest()}  {name}\n")
    assert reading.intact(file)
    file.write_bytes(b"abd")
    with pytest.raises(WeightsError, match=r"b\.bin: .*take it out of .*SHA256SUMS, if it was changed"):
        reading.intact(file)
    file.with_name("other.bin").write_bytes(b"abd")
    assert not reading.intact(file.with_name("other.bin"))


def test_coreutils_reads_the_same_sums(tmp_path):
    """`sha256sum` writes a star before names of files that it read in binary mode."""
    (tmp_path / "b.bin").write_bytes(b"abc")
    (tmp_path / reading.SUMS).write_text(f"{hashlib.sha256(b'abc').hexdigest()} *b.bin\n")
    assert reading.intact(tmp_path / "b.bin")


def test_files_for_other_libraries_are_looked_at_first(tmp_path):
    torch.save({"a": torch.ones(1), "b": Code(tmp_path / "ran")}, tmp_path / "a.pt")
    with pytest.raises(WeightsError, match=r"a\.pt: holds more than tensors \(builtins\..*\); nothing"):
        reading.refuse_code(tmp_path / "a.pt", "there")
    torch.jit.script(torch.nn.Linear(1, 1)).save(str(tmp_path / "b.pt"))
    with pytest.raises(WeightsError, match=r"b\.pt: damaged weights, or TorchScript .*get safetensors from"):
        reading.refuse_code(tmp_path / "b.pt", "there")
    with pytest.raises(WeightsError, match=r"c\.pt: no such weights; get them from there"):
        reading.refuse_code(tmp_path / "c.pt", "there")
    torch.save({"a": torch.ones(1)}, tmp_path / "d.pt")
    reading.refuse_code(tmp_path / "d.pt", "there")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("checksums", [True, False])
def test_a_flipped_bit_in_a_tensor_is_noticed_where_there_are_checksums(tmp_path, checksums):
    """PyTorch writes them, unless it is told not to, and does not look at them."""
    torch.serialization.set_crc32_options(checksums)
    try:
        torch.save({"a": torch.full((100,), 7.0)}, tmp_path / "a.pth")
    finally:
        torch.serialization.set_crc32_options(True)
    assert torch.equal(reading.read(tmp_path / "a.pth", "there")["a"], torch.full((100,), 7.0))
    content = bytearray((tmp_path / "a.pth").read_bytes())
    content[content.index(np.full(100, 7, "<f4").tobytes()) + 203] ^= 64
    (tmp_path / "a.pth").write_bytes(content)
    if checksums:
        with pytest.raises(WeightsError, match=r"a\.pth: damaged weights \(Bad CRC-32"):
            reading.read(tmp_path / "a.pth", "there")
    else:
        assert len(reading.read(tmp_path / "a.pth", "there")["a"]) == 100
