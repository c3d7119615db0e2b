"""What `import anyscene` offers: names, examples that run, and no more time than it needs."""

from __future__ import annotations

import ast
import doctest
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import anyscene
from anyscene.library import feature_cloud
from tests.builders import REPOSITORY, miniature

EXAMPLES = (  # the twenty functions whose docstrings show how they are called
    "open",
    "from_points",
    "open_scene",
    "segment_mesh",
    "segment_points",
    "visible_pixels",
    "fuse",
    "superpoint_means",
    "score",
    "evaluate",
    "label_set",
    "embeddings",
    "read_mesh",
    "write_mesh",
    "MinkUNet",
    "Camera.resized",
    "FeatureCloud.query",
    "FeatureCloud.segment",
    "FeatureCloud.to_ply",
    "FeatureCloud.to_pointcept",
)


def public(path: str):
    found = anyscene
    for name in path.split("."):
        found = getattr(found, name)
    return found


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A small project whose scene has the name of one of the demo's."""
    folder = tmp_path_factory.mktemp("public")
    miniature.write(folder, scenes=1, spacing=0.25, frames=False, named="val_00{}")
    return folder


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_in_the_docstring_runs(name, demo, monkeypatch):
    monkeypatch.chdir(demo)
    monkeypatch.setattr(feature_cloud, "load_text_encoder", lambda section: miniature.Spelling())
    found = public(name)
    test = doctest.DocTestParser().get_doctest(
        inspect.getdoc(found), {"anyscene": anyscene, "np": np}, name, inspect.getsourcefile(found), None
    )
    assert test.examples, f"{name} shows no example"
    said: list[str] = []
    result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=said.append)
    assert result.failed == 0, "".join(said)


def test_each_name_is_said_in_one_place_for_python_and_for_readers_of_types():
    tree = ast.parse(Path(anyscene.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    said = {alias.asname: node.module for node in block.body for alias in node.names}
    assert said == anyscene.HOMES and set(said) == set(anyscene.__all__)


@pytest.mark.parametrize("name", anyscene.__all__)
def test_each_name_is_there_and_documented(name):
    found = getattr(anyscene, name)
    assert found.__name__ == name and name in dir(anyscene)
    assert inspect.getdoc(found) and not inspect.getdoc(found).startswith(f"{name}(")


FIELDS = [
    name
    for name in anyscene.__all__
    if hasattr(getattr(anyscene, name), "__dataclass_fields__") or hasattr(getattr(anyscene, name), "_fields")
]


@pytest.mark.parametrize("name", FIELDS)
def test_each_field_is_explained_beside_it_or_above_it(name):
    lines = inspect.getsource(getattr(anyscene, name)).splitlines()
    (found,) = ast.parse("\n".join(lines)).body
    fields = [node for node in found.body if isinstance(node, ast.AnnAssign)]
    assert fields
    for node in fields:
        above = lines[node.lineno - 2].strip()
        assert "  # " in lines[node.end_lineno - 1] or above.startswith("# "), ast.unparse(node)


def test_other_names_are_refused():
    with pytest.raises(AttributeError, match="module 'anyscene' has no attribute 'nonsense'"):
        anyscene.nonsense  # noqa: B018
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", anyscene.__version__)


@pytest.mark.integration
def test_the_import_takes_no_torch_and_no_numpy():
    code = "import sys, anyscene; print(sorted({'torch', 'numpy', 'zarr', 'numba'} & set(sys.modules)))"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )
    assert run.stdout == "[]\n"


def test_the_packages_say_that_they_are_typed():
    folder = Path(anyscene.__file__).parent
    assert (folder / "py.typed").is_file() and (folder.with_name("anyscene_demo") / "py.typed").is_file()


def test_a_class_name_stands_for_one_thing():
    """As docs/architecture.md says under "Registries"."""
    found: dict[str, list[str]] = {}
    for file in sorted((REPOSITORY / "pipeline").rglob("*.py")):
        names = {
            node.name for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.ClassDef)
        }
        for name in names - {"Entry", "_Entry", "Settings"}:
            found.setdefault(name, []).append(str(file.relative_to(REPOSITORY)))
    twice = {
        name: [file for file in files if not file.endswith("project/parameters.py")]
        for name, files in found.items()
    }
    assert {name: files for name, files in twice.items() if len(files) > 1} == {}


def test_choices_are_named_once():
    """A Literal of several words stands once; other modules import its name."""
    found = [
        tuple(word.value for word in node.slice.elts if isinstance(word, ast.Constant))
        for file in sorted((REPOSITORY / "pipeline").rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Subscript)
        and isinstance(node.value, ast.Name)
        and node.value.id == "Literal"
        and isinstance(node.slice, ast.Tuple)
    ]
    assert found and sorted(found) == sorted(set(found))
