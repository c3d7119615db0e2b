"""Where things lie is written once."""

import ast
import re

import pytest

from anyscene.project import layout
from anyscene.project.layout import Artefacts
from tests.builders import REPOSITORY

# a path of the project as a whole, and a part that is joined to others
WHOLE = re.compile(r"(\.?/)?((data|models|reports|\.cache)/\S*|params\.yaml|dvc\.yaml)")
PARTS = ("data", "models", "reports", "stages", ".cache")


def paths(source):
    """The paths of a project that a module writes as texts, outside docstrings."""
    tree = ast.parse(source)
    held = [node for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)]
    docstrings = {id(node.body[0].value) for node in held if node.body and isinstance(node.body[0], ast.Expr)}
    for node in ast.walk(tree):
        joined = []
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            joined = [node.left, node.right]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Path":
            joined = node.args
        yield from (one.value for one in joined if isinstance(one, ast.Constant) and one.value in PARTS)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            if WHOLE.fullmatch(node.value):
                yield node.value


@pytest.mark.parametrize("folder", ["pipeline", "stages", "benchmarks", "docs"])
def test_paths_stand_in_one_place(folder):
    """Elsewhere they are taken from layout: another place for data/fusion is one edit. Fuzz damages the files
    of small projects that it makes, and calls them by their names, as tests do."""
    files = [
        file
        for file in sorted((REPOSITORY / folder).rglob("*.py"))
        if file.name != "layout.py" and file.parent.name != "fuzz"
    ]
    assert files
    written = [
        (str(file.relative_to(REPOSITORY)), path) for file in files for path in paths(file.read_text())
    ]
    assert written == []


def test_paths_in_code_are_found():
    source = '''
def f(root):
    """data/fusion"""
    g("data/fusion"); Path("models"); root / "reports"; h("a file of data/scenes"); i["data"]
'''
    assert sorted(paths(source)) == ["data/fusion", "models", "reports"]


def test_artefacts_of_a_folder_lie_in_it_as_in_a_project(tmp_path):
    found = Artefacts(tmp_path)
    assert found.data("fusion") == tmp_path / layout.FUSION
    assert found.model("mine") == tmp_path / layout.NETWORKS / "mine"
    assert (found.networks, found.reports) == (tmp_path / layout.NETWORKS, tmp_path / layout.REPORTS)
