"""2D models are found by name, say what they need before they are loaded, and do not know each other."""

import ast
import dataclasses
import importlib
import subprocess
import sys
import typing
from pathlib import Path

import pytest
import yaml

from anyscene import segmenters
from anyscene.errors import ConfigError, PipelineError
from anyscene.project import parameters
from anyscene.segmenters import captions
from anyscene.weights.catalogue import ANSWERS
from tests.builders import REPOSITORY

pytestmark = pytest.mark.integration

BLIP = "anyscene.segmenters.captions.blip"

NAMES = segmenters.REGISTRY.names()


@pytest.fixture
def params():
    return parameters.load(REPOSITORY / "params.yaml")


@pytest.fixture
def load(tmp_path):
    """load(**changes): the parameters with those keys of `segmenters`, None: without them."""

    def load(**changes):
        values = parameters.read(REPOSITORY / "params.yaml")
        section = values["segmenters"] | changes
        values["segmenters"] = {key: value for key, value in section.items() if value is not None}
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
        return parameters.load(tmp_path / "params.yaml")

    return load


def test_the_models_of_this_project_are_registered():
    assert {"lseg", "maskclip", "mask2former", "oneformer", "grounded", "sam3", "seem"} <= set(NAMES)
    assert {"dense", "mask"} <= set(NAMES)  # of anyscene_demo, which anyscene does not import
    for name in NAMES:
        assert segmenters.entry(name).name == name


def test_entries_say_what_they_need_without_torch():
    code = """
import sys
from anyscene import segmenters
from anyscene.project import parameters
section = parameters.load().segmenters
for name in segmenters.REGISTRY.names():
    entry = segmenters.entry(name)
    print(name, entry.title, entry.module, *entry.weights(section))
print("torch" in sys.modules)
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *lines, imported = found.stdout.splitlines()
    assert imported == "False" and len(lines) == len(NAMES)
    assert "dense dense (demo) anyscene_demo.segmenters.dense models/demo/dense" in lines
    assert "maskclip maskclip anyscene.segmenters.maskclip" in lines  # its weights are the text encoder's


def imported(module: str, seen: set[str]) -> set[str]:
    """`module`, and what it imports of this project anywhere in its text, at any depth."""
    base = REPOSITORY / "pipeline" / module.replace(".", "/")
    file = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
    if module in seen or not file.is_file():
        return seen
    seen.add(module)
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            parts = name.split(".")
            for depth in range(1, len(parts) + 1):  # packages on the way are imported too
                if parts[0] in ("anyscene", "anyscene_demo"):
                    imported(".".join(parts[:depth]), seen)
    return seen


def test_a_model_is_reached_through_its_entry_alone(params):
    """So a change of one model's code makes its projections stale, and no other model's."""
    own = {name: segmenters.entry(name).module for name in NAMES}
    reached = imported("anyscene.segmenters", set())
    assert not reached & set(own.values()) and BLIP not in reached
    assert segmenters.PRECOMPUTED in reached
    for name in NAMES:
        others = set(own.values()) - {own[name]}
        found = imported(own[name], set())
        assert not found & others and f"{own[name]}.segmenter" in found, name


def test_modules_and_weights_follow_the_captioner(load, tmp_path):
    blip = load(captioner="blip", weights=str(tmp_path)).segmenters
    assert segmenters.modules("mask", blip) == ("anyscene_demo.segmenters.mask", BLIP)
    assert segmenters.modules("mask", blip, captions=False) == ("anyscene_demo.segmenters.mask",)
    assert segmenters.modules("dense", blip) == ("anyscene_demo.segmenters.dense",)
    assert segmenters.weights("mask", blip) == (tmp_path / "mask", tmp_path / "blip")
    assert segmenters.weights("mask", blip, captions=False) == (tmp_path / "mask",)
    assert segmenters.weights("maskclip", blip) == ()
    assert segmenters.weights("odise", blip) == (tmp_path / "odise",)  # answers to come
    (tmp_path / "odise").mkdir()
    (tmp_path / "odise" / ANSWERS).write_text('{"format": 1, "kind": "masks", "labels": ["a"]}')
    assert segmenters.modules("odise", blip) == (segmenters.PRECOMPUTED, BLIP)
    assert segmenters.weights("odise", blip) == (tmp_path / "odise", tmp_path / "blip")


def test_answers_in_the_folder_of_a_model_go_before_it(load, tmp_path):
    section = load(weights=str(tmp_path)).segmenters
    assert not segmenters.runs_elsewhere("lseg", section) and segmenters.runs_elsewhere("odise", section)
    (tmp_path / "lseg").mkdir()
    (tmp_path / "lseg" / ANSWERS).write_text('{"format": 1, "kind": "features"}')
    assert segmenters.runs_elsewhere("lseg", section)
    assert segmenters.modules("lseg", section) == (segmenters.PRECOMPUTED,)


def test_settings_are_the_sections_of_their_models(load):
    section = load(names=["lseg"], lseg={"base": 1280, "crop": 640}, maskclip=None).segmenters
    assert section.settings("lseg").base == 1280
    with pytest.raises(ConfigError, match="segmenters: missing key 'maskclip'"):
        section.settings("maskclip")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"names": ["lseg"], "lseg": None}, "segmenters: missing key 'lseg'"),
        ({"lseg": {"base": 640}}, r"segmenters\.lseg: missing key 'crop'"),
        ({"lseg": {"base": 640, "crop": 640, "stride": 2}}, r"segmenters\.lseg: unknown key 'stride'"),
        ({"lseg": {"base": 640, "crop": 650}}, r"segmenters\.lseg\.crop: must be a multiple of 32, not 650"),
        ({"maskclip": {"base": "640"}}, r"segmenters\.maskclip\.base: expected int"),
        ({"seem": {"side": 512, "nouns": "both"}}, r"segmenters\.seem\.nouns: .*both"),
        (
            {"sam3": {"base": 640}},
            "segmenters: unknown key 'sam3'; known: .*captioner, nouns, lseg, maskclip",
        ),
        ({"clipseg": {"base": 640}}, "segmenters: unknown key 'clipseg'; known: names"),
    ],
)
def test_wrong_sections_are_named(load, changes, message):
    with pytest.raises(ConfigError, match=message):
        load(**changes)


def test_what_is_no_entry_is_refused(monkeypatch):
    for other in (object(), segmenters.entry("mask")):
        monkeypatch.setattr(segmenters, "REGISTRY", Offering(other))
        with pytest.raises(ConfigError, match="wanted an Entry of that name; correct its package"):
            segmenters.entry("dense")


@dataclasses.dataclass(frozen=True)
class Offering:
    """A registry in which every name stands for `what`."""

    what: object
    group: str = "anyscene.segmenters"

    def get(self, name):
        return self.what


@pytest.mark.parametrize("name", [*NAMES, "odise", "mine"])
def test_missing_weights_are_said_with_the_remedy(load, tmp_path, name):
    params = load(weights=str(tmp_path))
    with pytest.raises(PipelineError, match=r"make zoo|weights fetch|isl-org|docs/"):
        segmenters.find(name, params)


def test_found_weights_are_said(params, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    assert Path(segmenters.find("dense", params)) == Path("models/demo/dense")
    assert captions.find(params.segmenters) == "needs no weights"


@pytest.mark.parametrize("name", typing.get_args(typing.get_type_hints(parameters.Segmenters)["captioner"]))
def test_every_captioner_is_a_module_of_that_name(load, tmp_path, name):
    section = load(captioner=name, weights=str(tmp_path)).segmenters
    module = importlib.import_module(captions.module(section))
    assert module.__name__ == f"{captions.__name__}.{name}" and callable(module.load)
    assert captions.weights(section) == module.weights(section)
