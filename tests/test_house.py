"""Rules of the house that no linter knows: where tests lie, what they touch, where networks have names."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from anyscene.project import parameters
from anyscene.project.parameters import OBJECTIVES
from tests.builders import REPOSITORY

TESTS = REPOSITORY / "tests"
ROOTS = {"anyscene_demo": "pipeline", "benchmarks": "", "stages": ""}  # top folders of tests -> of modules
APART = {  # tests that are not of one module -> of what they are
    "cli/test_extras.py": "every command where an extra is missing",
    "cli/test_outputs.py": "where every command writes",
    "cli/test_outside_a_project.py": "the tools where there is no project",
    "cli/test_worlds.py": "every command in the world of the files",
    "datasets/imports/test_contradicting_exports.py": "several importers on what contradicts itself",
    "datasets/imports/test_rooms.py": "a room of the demo through every importer and reader",
    "docs": "pages",
    "end_to_end": "whole runs",
    "library/test_notebooks.py": "the notebooks of docs/",
    "networks/test_gpu.py": "what only a GPU shows",
    "show/viewer/test_browser.py": "the viewer in a browser",
    "stages/test_matterport.py": "several stages on one data set",
    "stages/test_nuscenes.py": "several stages on one data set",
    "stages/test_scannet.py": "several stages on one data set",
    "stages/test_three_models.py": "several stages with another list of models",
    "test_house.py": "these rules",
    "test_outside.py": "a package that brings one of everything",
    "test_wheel.py": "the wheel",
}
PUBLIC = {"_asdict", "_fields", "_make", "_replace"}  # of named tuples, whatever their names look like
FILES = sorted(path.relative_to(TESTS) for path in TESTS.rglob("*.py"))
TEST_FILES = [path for path in FILES if path.name.startswith("test_")]


def module(test: Path) -> list[Path]:
    """Where the module of a file of tests may lie: room/test_x.py tests room/x.py, or room/__init__.py if
    that room is called x."""
    top = test.parts[0] if test.parts[0] in ROOTS else None
    folder = REPOSITORY / ("pipeline/anyscene" if top is None else ROOTS[top]) / test.parent
    name = test.stem.removeprefix("test_")
    return [folder / f"{name}.py", *([folder / "__init__.py"] if folder.name == name else [])]


def test_tests_lie_where_their_module_does():
    lost = [
        str(test)
        for test in TEST_FILES
        if not any(path.is_file() for path in module(test))
        and not APART.keys() & {str(part) for part in (test, *test.parents)}
    ]
    assert lost == []  # move them, or say in APART what they are of


def test_what_is_apart_is_there_and_has_no_module():
    for path in APART:
        assert (TESTS / path).exists(), path
        assert not any(file.is_file() for file in module(Path(path))), path


def private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in PUBLIC


def foreign(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, name) of every private member that the code takes from elsewhere."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and private(node.attr):
            if not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")):
                yield node.lineno, node.attr
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, each.name) for each in node.names if private(each.name))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr in ("setattr", "delattr"):
                for one in node.args[:2]:
                    if isinstance(one, ast.Constant) and isinstance(one.value, str):
                        yield from ((node.lineno, p) for p in one.value.split(".") if private(p))


@pytest.mark.parametrize("folder", ["tests", "benchmarks"])
def test_private_members_stay_private(folder):
    taken = [
        f"{path.relative_to(REPOSITORY)}:{line}: {name}"
        for path in sorted((REPOSITORY / folder).rglob("*.py"))
        for line, name in foreign(ast.parse(path.read_text()))
        if path.name != "per_scene_tasks.py" or name != "_exit"  # a process killed at once is os._exit's
    ]
    assert taken == []


def test_private_members_are_noticed():
    code = (
        "a._b\nself._c\nd._asdict()\nfrom e import _f\nmonkeypatch.setattr('g._h', 1)\nm.setattr(i, '_j', 1)"
    )
    assert sorted(foreign(ast.parse(code))) == [(1, "_b"), (4, "_f"), (5, "_h"), (6, "_j")]


def test_no_test_takes_from_another():
    """What several need lies in tests/builders, or is a fixture of a conftest."""
    for path in FILES:
        for node in ast.walk(ast.parse((TESTS / path).read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [each.name for each in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                assert not re.search(r"(^|\.)(conftest|test_\w+)$", name), f"{path}: {name}"


def test_the_name_of_a_shared_fixture_is_its_own():
    """One that shadows it would be another thing under its name."""
    shared = {path.parent: fixtures(path) for path in FILES if path.name == "conftest.py"}
    assert {"project", "rooms"} <= shared[Path()]
    for path in FILES:
        for folder in path.parents:
            if path != folder / "conftest.py":
                assert not shared.get(folder, set()) & fixtures(path), path


def fixtures(path: Path) -> set[str]:
    return {
        node.name
        for node in ast.walk(ast.parse((TESTS / path).read_text()))
        if isinstance(node, ast.FunctionDef) and any("fixture" in ast.unparse(d) for d in node.decorator_list)
    }


BLOCKWISE = {"range": 2, "array_split": 1, "split": 1}  # functions that cut -> which argument says where


def blocks(tree: ast.Module) -> set[str]:
    """The names of the constants of a module that say how much of something is worked on at a time."""
    constants = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name) and target.id.isupper()
    }
    cuts = [
        node.args[place]
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and (place := BLOCKWISE.get(getattr(node.func, "attr", getattr(node.func, "id", "")))) is not None
        and len(node.args) > place
    ]
    return {name.id for cut in cuts for name in ast.walk(cut) if isinstance(name, ast.Name)} & constants


def test_what_works_in_blocks_is_run_with_more_than_one():
    """The scenes of tests fit into one block, so each size of a block is made small by a test."""
    small = {
        found[1]
        for path in FILES
        for found in re.finditer(r"setattr\([^)]*?\b([A-Z][A-Z_]+)\"", (TESTS / path).read_text())
    }
    found = {
        (path.relative_to(REPOSITORY / "pipeline").as_posix(), name)
        for path in sorted((REPOSITORY / "pipeline" / "anyscene").rglob("*.py"))
        for name in blocks(ast.parse(path.read_text()))
    }
    assert ("anyscene/text/text_space.py", "BLOCK") in found and len(found) > 6
    assert [one for one in sorted(found) if one[1] not in small] == []


def test_no_version_is_kept_by_hand():
    kept = [path for path in (REPOSITORY / "pipeline").rglob("*.py") if "VERSION =" in path.read_text()]
    assert kept == []


NETWORKS = parameters.read(REPOSITORY / "params.yaml")["training"]
KINDS = OBJECTIVES.names()
TABLES = ("pipeline/anyscene/study/literature.py", "benchmarks/speed/peers/training.py")  # published systems


def sources() -> Iterator[tuple[str, str]]:
    """(path, text) of all that is this project's code, without tests."""
    for folder in ("pipeline", "stages", "benchmarks", "install"):
        for path in sorted((REPOSITORY / folder).rglob("*")):
            if path.suffix in (".py", ".j2", ".css", ".sh", ".cpp"):
                yield path.relative_to(REPOSITORY).as_posix(), path.read_text()


def test_no_network_is_named_outside_its_folder_the_parameters_and_the_tables():
    """Neither the networks of params.yaml, nor the kinds of objectives, nor their titles."""
    titles = [OBJECTIVES.get(kind).title for kind in KINDS]
    words = rf"\b({'|'.join([*NETWORKS, *titles, 'ensembling', 'temporal ensembling'])})\b"
    kinds = rf"(kind\w*\W+|objectives\.)[\"']?({'|'.join(KINDS)})\b"
    for path, text in sources():
        own = re.search(r"learning/objectives/(\w+)/", path)
        if path in TABLES:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            for found in (*re.finditer(words, line, re.IGNORECASE), *re.finditer(kinds, line)):
                assert own and own[1] in KINDS, f"{path}:{number}: {found[0]!r} is the name of a network"


def test_no_objective_knows_another():
    """What two of them share lies beside their folders, and belongs to none."""
    for path, text in sources():
        own = re.match(r"pipeline/anyscene/learning/(?:objectives/(\w+)/)?", path)
        if own is None:  # of another room
            continue
        for name in imported(ast.parse(text)):
            found = re.match(r"anyscene\.learning\.objectives\.(\w+)", name)
            assert not found or found[1] not in KINDS or found[1] == own[1], f"{path}: {name}"


def imported(tree: ast.Module) -> Iterator[str]:
    """The full names that a module imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{each.name}" for each in node.names)
