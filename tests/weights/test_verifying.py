"""What `verify` finds of files that are there, missing, cut, altered, or nobody's."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from anyscene.weights import catalogue, reading
from anyscene.weights.catalogue import File, PublishedWeights
from anyscene.weights.verifying import verify
from tests.builders.malice import Code


@pytest.fixture
def entry(tmp_path, monkeypatch):
    """An entry with a file of each kind, all there; one with a published sha256, one with a noted one."""
    folder = tmp_path / "a"
    folder.mkdir()
    torch.save({"state_dict": {"x": torch.ones(3)}}, folder / "known.pth")
    save_file({"x": torch.ones(3), "y": torch.ones(1)}, folder / "noted.safetensors")
    save_file({"x": torch.ones(3)}, folder / "nobodys.safetensors")
    (folder / "config.json").write_text(json.dumps({"a": 1}))
    (folder / "merges.txt").write_text("a b\n")

    def sha256(name):
        return hashlib.sha256((folder / name).read_bytes()).hexdigest()

    (folder / reading.SUMS).write_text(f"{sha256('noted.safetensors')}  noted.safetensors\n")
    files = ("noted.safetensors", "nobodys.safetensors", "config.json", "merges.txt")
    known = File("known.pth", sha256("known.pth"), (folder / "known.pth").stat().st_size)
    found = PublishedWeights(
        "a", "", "there", "", "a", (known, *map(File, files)), url="u", sha256_from="them"
    )
    monkeypatch.setattr(catalogue, "CATALOGUE", (found,))
    return found


def states(entry, root):
    return {Path(finding.file).name: (finding.state, finding.said) for finding in verify(entry, root)}


def test_what_is_there(entry, tmp_path):
    found = states(entry, tmp_path)
    assert found["known.pth"] == ("fine", "1 tensors, sha256 by them")
    assert found["noted.safetensors"] == ("fine", "2 tensors, sha256 as noted in SHA256SUMS")
    state, said = found["nobodys.safetensors"]
    digest = hashlib.sha256((tmp_path / "a/nobodys.safetensors").read_bytes()).hexdigest()
    assert state == "unverified" and said == f"1 tensors; no sha256 is known, that of this file is {digest}"
    assert found["config.json"][0] == found["merges.txt"][0] == "unverified"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("known.pth", "damaged weights"),
        ("noted.safetensors", "truncated or damaged"),
        ("nobodys.safetensors", "truncated or damaged"),
        ("config.json", "not readable as JSON"),
    ],
)
def test_what_was_cut(entry, tmp_path, name, said):
    file = tmp_path / "a" / name
    file.write_bytes(file.read_bytes()[:-3])
    found = states(entry, tmp_path)
    assert found[name][0] == "damaged" and said in found[name][1]
    assert all(state != "damaged" for other, (state, _) in found.items() if other != name)


@pytest.mark.parametrize("name", ["known.pth", "noted.safetensors"])
def test_what_was_altered(entry, tmp_path, name):
    file = tmp_path / "a" / name
    content = file.read_bytes()
    place = content.rindex(torch.ones(1).numpy().tobytes())
    file.write_bytes(content[:place] + b"\x01" + content[place + 1 :])
    assert "not what was published" in states(entry, tmp_path)[name][1]


def test_what_would_run(entry, tmp_path):
    torch.save({"x": Code(tmp_path / "ran")}, tmp_path / "a/known.pth")
    state, said = states(entry, tmp_path)["known.pth"]
    assert state == "damaged" and "holds more than tensors" in said and not (tmp_path / "ran").exists()


def test_what_is_missing(entry, tmp_path):
    (tmp_path / "a/known.pth").unlink()
    assert states(entry, tmp_path)["known.pth"] == ("missing", "`anyscene weights fetch a`")


def test_answers_of_models_that_run_elsewhere(tmp_path):
    odise = catalogue.get("odise")
    assert "docs/precomputed.md" in states(odise, tmp_path)["precomputed.json"][1]
    (tmp_path / "odise").mkdir()
    (tmp_path / "odise/precomputed.json").write_text("{}")
    (tmp_path / "odise/a.npz").touch()
    assert states(odise, tmp_path)["precomputed.json"] == ("fine", "answers for 1 images")
