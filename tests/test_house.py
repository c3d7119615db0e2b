"""Rules of the house that no linter knows: where tests lie, what they touch, where networks have names."""

from __future__ import annotations

import ast
import functools
import re
from collections import Counter
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
    "cli/test_long_names.py": "names in every command",
    "cli/test_outputs.py": "where every command writes",
    "cli/test_outside_a_project.py": "the tools where there is no project",
    "cli/test_worlds.py": "every command in the world of the files",
    "datasets/imports/test_contradicting_exports.py": "several importers on what contradicts itself",
    "datasets/imports/test_rooms.py": "a room of the demo through every importer and reader",
    "docs": "pages",
    "end_to_end": "whole runs",
    "learning/objectives/test_as_released.py": "several objectives beside the released code",
    "library/test_notebooks.py": "the notebooks of docs/",
    "networks/test_gpu.py": "what only a GPU shows",
    "show/report/test_figures.py": "every number on the page",
    "show/viewer/test_browser.py": "the viewer in a browser",
    "project/test_keys.py": "every key and fingerprint",
    "project/test_settings.py": "every setting",
    "segmenters/test_templates.py": "every 2D model in another sentence",
    "stages/test_as_released.py": "every stage beside the released code",
    "stages/test_matterport.py": "several stages on one data set",
    "stages/test_nuscenes.py": "several stages on one data set",
    "stages/test_scannet.py": "several stages on one data set",
    "stages/test_three_models.py": "several stages with another list of models",
    "study/test_figures.py": "every figure of an evaluation",
    "test_house.py": "these rules",
    "test_outside.py": "a package that brings one of everything",
    "test_wheel.py": "the wheel",
}
PUBLIC = {"_asdict", "_fields", "_make", "_replace", "_exit"}  # of named tuples, and of os
parsed = functools.cache(ast.parse)  # several rules read the same files, and none changes a tree
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
        for line, name in foreign(parsed(path.read_text()))
    ]
    assert taken == []


def test_private_members_are_noticed():
    code = (
        "a._b\nself._c\nd._asdict()\nfrom e import _f\nmonkeypatch.setattr('g._h', 1)\nm.setattr(i, '_j', 1)"
    )
    assert sorted(foreign(parsed(code))) == [(1, "_b"), (4, "_f"), (5, "_h"), (6, "_j")]


def test_no_test_takes_from_another():
    """What several need lies in tests/builders, or is a fixture of a conftest."""
    for path in FILES:
        for node in ast.walk(parsed((TESTS / path).read_text())):
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


@functools.cache
def fixtures(path: Path) -> set[str]:
    return {
        node.name
        for node in ast.walk(parsed((TESTS / path).read_text()))
        if isinstance(node, ast.FunctionDef) and any("fixture" in ast.unparse(d) for d in node.decorator_list)
    }


CUTTING = {  # functions that cut or read -> the place of the argument that says how much at a time
    **{"range": 2, "array_split": 1, "split": 1, "tensor_split": 1, "batched": 1, "read": 0, "Batches": 0},
}
SAID = re.compile(r"block|chunk|shard|at a time|one step|before they are", re.IGNORECASE)
NO_BLOCKS = {  # constants that speak of blocks or are read by, and are the size of none
    "anyscene.datasets.geometry.las.POINTS": "a place in a file's header",
    "anyscene.datasets.geometry.las.SMALLEST": "the least bytes of a chunk",
    "anyscene.weights.headers.LENGTH": "the bytes of a number in a file's header",
    "anyscene.weights.headers.SHOWN": "the bytes of a file that a message shows",
}
LARGER = {  # blocks that no test makes smaller -> the test that has more than one of them
    "anyscene.lifting.introsort.BLOCK": "tests/lifting/test_introsort.py",  # numba has compiled it
    "anyscene.networks.sparse.torch_backend.BLOCK_ON_GPU": "tests/networks/test_gpu.py",
}


def blocks(source: str) -> set[str]:
    """The constants of a module that say how much of something is worked on at a time: their names or the
    words beside them say so, or something is cut by them."""
    tree, lines = parsed(source), source.splitlines()
    numbers = {
        target.id: lines[node.lineno - 1]
        for node in tree.body
        if isinstance(node, ast.Assign) and whole_number(node.value)
        for target in node.targets
        if isinstance(target, ast.Name) and target.id.isupper()
    }
    cuts = [
        node.args[place]
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and (place := CUTTING.get(getattr(node.func, "attr", getattr(node.func, "id", "")))) is not None
        and len(node.args) > place
    ]
    cut = {name.id for each in cuts for name in ast.walk(each) if isinstance(name, ast.Name)}
    return {name for name, line in numbers.items() if name in cut or SAID.search(line)}


def whole_number(node: ast.expr) -> bool:
    return all(
        isinstance(one, ast.BinOp | ast.operator) or isinstance(getattr(one, "value", None), int)
        for one in ast.walk(node)
    )


def made_small(source: str) -> set[str]:
    """The full name of everything that a file of tests replaces."""
    tree, small = parsed(source), set()
    means = {  # a name in the file -> what is imported by it
        each.asname or each.name: f"{node.module}.{each.name}"
        if isinstance(node, ast.ImportFrom)
        else each.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for each in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "setattr":
            match node.args:
                case [ast.Constant(value=str(path)), _]:
                    small.add(path)
                case [ast.Name(id=name), ast.Constant(value=str(member)), _]:
                    small.add(f"{means.get(name, name)}.{member}")
                case [
                    ast.Subscript(slice=ast.Attribute(ast.Name(id=name), "__module__")),
                    ast.Constant(value=str(member)),
                    _,
                ]:
                    small.add(f"{means.get(name, name)}.{member}")  # a function that is called as its module
    return small


def test_what_works_in_blocks_is_run_with_more_than_one():
    """The scenes of tests fit into one block, so the size of every block is made small by a test."""
    small = set().union(*(made_small((TESTS / path).read_text()) for path in FILES))
    found = {
        f"{'.'.join(path.relative_to(REPOSITORY / 'pipeline').with_suffix('').parts)}.{name}"
        for path in sorted((REPOSITORY / "pipeline").rglob("*.py"))
        for name in blocks(path.read_text())
    }
    assert "anyscene.fusion.fuse.BLOCK_ELEMENTS" in found and len(found) > 20
    assert sorted(found - small - NO_BLOCKS.keys() - LARGER.keys()) == []
    assert found >= NO_BLOCKS.keys() | LARGER.keys()
    assert all((REPOSITORY / test).is_file() for test in LARGER.values())


def test_blocks_are_noticed():
    code = (
        "A = 1 << 4\nB = 9\nC = 9\nD = 2 * 3  # points at a time\nE = 5\nBLOCK = 7\nF = 'blocks'\n"
        "for a in range(0, 9, A): split(a, max(1, B // 2))\nwhile file.read(C): E + 1"
    )
    assert blocks(code) == {"A", "B", "C", "D", "BLOCK"}
    tests = "from a import b as c\nimport d\nm.setattr(c, 'N', 1)\nm.setattr('e.N', 1)\nm.setattr(d, 'N', 1)"
    assert made_small(tests) == {"a.b.N", "e.N", "d.N"}
    tests = "from a import b\nm.setattr(sys.modules[b.__module__], 'N', 1)"
    assert made_small(tests) == {"a.b.N"}


SHORTER = {  # refusals whose own words are too few to be told from other texts -> the test that asks for them
    "cli/export.py: : no scene": "show/test_export.py::test_which_scenes_must_be_said",
    "datasets/geometry/ply_text.py: property ": "datasets/test_ply.py::test_text_of_another_form_is_named",
    "datasets/imports/export_options.py: leave out ": (
        "datasets/imports/test_export_options.py::test_an_option_of_exports_is_refused_where_there_is_none"
    ),
    "datasets/imports/export_options.py: leave out --": (
        "datasets/imports/test_export_options.py::test_an_option_that_the_files_make_needless_is_named"
    ),
    "datasets/imports/formats.py: : holds no ": (
        "datasets/imports/test_orientation.py::test_exports_that_are_not_recognised"
    ),
    "datasets/imports/record3d.py:  numbers for ": (
        "datasets/imports/test_record3d.py::test_depth_of_another_size"
    ),
    "datasets/imports/record3d.py: , not metres": (
        "datasets/imports/test_record3d.py::test_what_is_wrong_with_the_sequence_is_named"
    ),
    "datasets/imports/sunrgbd.py: , not 16 bits": (
        "datasets/imports/test_sunrgbd.py::test_bits_are_rotated_back"
    ),
    "datasets/imports/text_files.py:  values: ": (
        "datasets/imports/test_text_files.py::test_a_line_that_is_too_short_is_named"
    ),
    "project/array_files.py: its shape is ": "project/test_array_files.py::test_what_is_damaged",
    "project/parameters.py: .kind: ": "project/test_parameters.py::test_wrong_keys_are_named",
    "scene.py: camera pose ": "test_scene.py::test_bad_cameras",
    "weights/pickled_arrays.py:  is no array": (
        "weights/test_pickled_arrays.py::test_nothing_but_arrays_is_made"
    ),
}
LENGTH = 10  # letters of a message in a row that few write by chance
OWN = 14  # and so many of those by which one message is told from all others


def refusals(source: str) -> Iterator[tuple[int, list[str]]]:
    """(line, the words that it spells out) of everything that is raised with a text, but for the errors of a
    frame, which are known by what they call its fault, and for what a type checker alone must be told."""
    for node in ast.walk(parsed(source)):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            if getattr(node.exc.func, "id", "") not in ("FrameError", "AssertionError"):
                words = [word for text in node.exc.args for word in spelt(text).split("\0")]
                if words := [word for word in words if len(word) >= LENGTH / 2]:
                    yield node.lineno, words


def spelt(text: ast.expr) -> str:
    """A text as it is written in the code, with \0 for what is put into it."""
    match text:
        case ast.Constant(value=str(value)):
            return value
        case ast.JoinedStr(values=values):
            return "".join(map(spelt, values))
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return spelt(left) + spelt(right)
    return "\0"


def rows_of(text: str, length: int = LENGTH) -> set[str]:
    """All rows of `length` letters in a text, or itself where it is shorter."""
    return {text[start : start + length] for start in range(max(1, len(text) - length + 1))}


def asked_for(source: str) -> str:
    """What a file of tests could ask of messages, in lines; it may do so by regular expressions."""
    return "\n".join(part for text in texts_of(parsed(source)) for part in re.split(r"\.\*|\.\+|\$", text))


def texts_of(tree: ast.AST) -> Iterator[str]:
    """The texts in some code, without what marks letters in regular expressions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr) or isinstance(getattr(node, "value", None), str):
            yield re.sub(r"\\(?=\W)", "", spelt(node))


def in_order(words: list[str], texts: str) -> bool:
    """Whether a line has all the words of a refusal, with something between two of them."""
    found = ".+?".join(map(re.escape, words))
    return sum(map(len, words)) >= OWN and re.search(found, texts) is not None


def function(test: str) -> ast.FunctionDef:
    """The function that `FILE::NAME` means, with what it is given by its decorators."""
    file, _, name = test.partition("::")
    of_file = parsed((TESTS / file).read_text()).body
    return next(node for node in of_file if isinstance(node, ast.FunctionDef) and node.name == name)


def own_words(refused: dict[str, set[str]]) -> dict[str, set[str]]:
    """Of the rows of letters of each refusal those that no other one has."""
    shared = Counter(row for rows in refused.values() for row in rows)
    return {name: {row for row in rows if shared[row] == 1} for name, rows in refused.items()}


def test_every_refusal_is_met_by_a_test():
    """One whose message no test asks for could be removed, and none would fail. Words that other refusals
    have too do not tell which was met, so each is asked for by words of its own, where it has any."""
    sources = [(TESTS / path).read_text() for path in FILES if path.name != "test_house.py"]
    asked, whole = (
        "\n".join(map(of, sources)) for of in (asked_for, lambda one: "\n".join(texts_of(parsed(one))))
    )
    rows, asked_rows = rows_of(asked), rows_of(asked, OWN)
    spelt_out = {
        f"{path.relative_to(REPOSITORY / 'pipeline/anyscene')}: {' ... '.join(words)}": words
        for path in sorted((REPOSITORY / "pipeline/anyscene").rglob("*.py"))
        for _, words in refusals(path.read_text())
    }
    of_each = {name: set().union(*map(rows_of, words)) for name, words in spelt_out.items()}
    own = own_words(
        {name: {row for w in words for row in rows_of(w, OWN)} for name, words in spelt_out.items()}
    )

    def met(name: str) -> bool:
        return bool(rows & of_each[name]) or any(w in asked for w in spelt_out[name] if len(w) < LENGTH)

    assert [name for name in of_each if not met(name)] == []
    unmet = {name for name in own if own[name] and not asked_rows & own[name]}
    unmet = {name for name in unmet if not in_order(spelt_out[name], whole)}
    assert sorted(unmet ^ SHORTER.keys()) == []
    for name, test in SHORTER.items():
        assert any(word in text for word in own[name] for text in texts_of(function(test))), name


def test_words_of_its_own_are_those_that_no_other_refusal_has():
    rows = {"a": {"1", "2"}, "b": {"2", "3"}, "c": {"2"}}
    assert own_words(rows) == {"a": {"1"}, "b": {"3"}, "c": set()}


def test_refusals_are_noticed():
    code = (
        "raise A(f'{a}: no such file; give {b} another' 'name' + f'{c}: more')\nraise FrameError('this one')"
    )
    assert list(refusals(code)) == [(1, [": no such file; give ", " anothername", ": more"])]
    assert "no such file; [a]" in asked_for(r"match=rf'no such file; \\[a\\] .*'")
    asked = "\n".join(texts_of(parsed(r"match=rf'{a}: line {b} has \\(3\\) columns; .*'")))
    assert in_order([": line ", " columns; "], asked) and not in_order([" columns; ", ": line "], asked)
    assert not in_order([": line "], asked)  # of which there are too many


OUR_WORDS = {  # what these print holds numbers and names that params.yaml may have, which have no brackets
    "anyscene/datasets/import_scenes.py": 1,
    "anyscene/learning/older.py": 1,
    "anyscene/learning/train.py": 1,
    "anyscene/project/per_scene.py": 3,
    "anyscene/project/progress.py": 1,
}


def test_rich_takes_no_brackets_in_names_for_markup():
    """`[/x]` in the name of a folder, a class or a network would end a command in a traceback."""
    found: dict[str, int] = {}
    for path in sorted((REPOSITORY / "pipeline/anyscene").rglob("*.py")):
        tree = parsed(path.read_text())
        printed = {
            id(node.func.value): node.keywords
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "print"
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Console":
                given = {
                    each.arg: ast.unparse(each.value) for each in (*node.keywords, *printed.get(id(node), ()))
                }
                if given.get("markup") != "False":
                    name = path.relative_to(REPOSITORY / "pipeline").as_posix()
                    found[name] = found.get(name, 0) + 1
    assert found == OUR_WORDS


PAGES = re.compile(r"docs/[\w/-]+\.md|\bnotes/[\w-]+\.md")
NAMED_PAGES = {  # what stages reach, where other words would make every run stale -> strings with a page
    "anyscene/segmenters/__init__.py": 1,
    "anyscene/weights/catalogue.py": 1,
}


def test_no_message_names_a_page_that_a_wheel_lacks():
    """Pages lie in the repository alone. Docstrings name them for those who read the code."""
    found: dict[str, int] = {}
    for path in sorted((REPOSITORY / "pipeline").rglob("*.py")):
        tree = ast.parse(path.read_text())
        docstrings = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
                if PAGES.search(node.value):
                    name = path.relative_to(REPOSITORY / "pipeline").as_posix()
                    found[name] = found.get(name, 0) + 1
    assert found == NAMED_PAGES


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
        for name in imported(parsed(text)):
            found = re.match(r"anyscene\.learning\.objectives\.(\w+)", name)
            assert not found or found[1] not in KINDS or found[1] == own[1], f"{path}: {name}"


def imported(tree: ast.Module) -> Iterator[str]:
    """The full names that a module imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{each.name}" for each in node.names)


def test_every_text_of_the_project_is_read_and_written_in_utf8():
    """Without an encoding it would be that of the locale."""
    calls = [
        (f"{path.relative_to(REPOSITORY)}:{node.lineno}", node)
        for folder in ("pipeline", "stages")
        for path in sorted((REPOSITORY / folder).rglob("*.py"))
        for node in ast.walk(parsed(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    ]
    files = [(where, node) for where, node in calls if getattr(node.func.value, "id", "") != "formatter"]
    texts = [(where, node) for where, node in files if node.func.attr in ("read_text", "write_text")]
    assert len(texts) > 50
    assert [where for where, node in texts if "encoding" not in {key.arg for key in node.keywords}] == []
    opened = [
        (path.relative_to(REPOSITORY).as_posix(), line)
        for folder in ("pipeline", "stages")
        for path in sorted((REPOSITORY / folder).rglob("*.py"))
        for line in opened_without_encoding(path.read_text())
    ]
    assert [path for path, _ in opened] == ["pipeline/anyscene/scene.py"]  # a part of a file, as bytes


MODE = re.compile(r"[rwax+bt]+")  # the second argument of `open`, the first of `Path.open`


def opened_without_encoding(source: str) -> Iterator[int]:
    """The lines in which a file of text is opened, or read by NumPy, and no encoding is named."""
    for node in ast.walk(parsed(source)):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        given = {key.arg: key.value for key in node.keywords}
        if name == "open":
            builtin = isinstance(node.func, ast.Name)
            place = node.args[builtin:] or [given.get("mode", ast.Constant("r"))]
            mode = place[0].value if isinstance(place[0], ast.Constant) else None
            text = isinstance(mode, str) and MODE.fullmatch(mode) and "b" not in mode
        else:
            text = name in ("loadtxt", "genfromtxt")
        if text and "encoding" not in given and None not in given:
            yield node.lineno


def test_files_without_encoding_are_noticed():
    code = (
        "a.open()\na.open('w', newline='')\nopen(b)\nopen(b, 'w')\nopen(b, mode='a')\nnp.loadtxt(c)\n"
        "a.open('rb')\nopen(b, 'rb')\na.open(encoding='utf-8')\nd.open('fusion')\nImage.open(e)\n"
        "np.loadtxt(c, encoding='utf-8')"
    )
    assert list(opened_without_encoding(code)) == [1, 2, 3, 4, 5, 6]


REMOVING = {"rmtree", "unlink", "rename", "rmdir", "move", "clear", "remove"}
KEPT = {  # functions that remove or replace -> the test that they lose no finished work
    "anyscene/learning/engine/checkpoint.py:Checkpoints.clear": (
        "stages/test_training.py::test_a_network_that_cannot_be_saved_leaves_its_checkpoint_and_the_network_of_before"
    ),
    "anyscene/learning/engine/checkpoint.py:Checkpoints.resume": (
        "learning/engine/test_checkpoint.py::test_a_damaged_checkpoint_is_named"
    ),
    "anyscene/learning/engine/checkpoint.py:Checkpoints.save": (
        "learning/engine/test_checkpoint.py::test_a_checkpoint_that_cannot_be_saved_leaves_the_older_one"
    ),
    "anyscene/learning/engine/history.py:History.prune": (
        "learning/engine/test_history.py::test_what_a_checkpoint_names_is_never_written_again"
    ),
    "anyscene/learning/train.py:_memory": (
        "stages/test_training.py::test_a_stopped_training_is_adopted_and_goes_on"
    ),
    "anyscene/learning/train.py:train_network": (
        "stages/test_training.py::test_a_network_that_cannot_be_saved_leaves_its_checkpoint_and_the_network_of_before"
    ),
    "anyscene/project/outputs.py:_own_folder": (
        "project/test_outputs.py::test_writers_at_the_same_time_do_not_meet"
    ),
    "anyscene/project/outputs.py:_remove": "project/test_outputs.py::test_what_a_killed_run_left_is_removed",
    "anyscene/project/outputs.py:_swap": (
        "project/test_outputs.py::test_a_folder_takes_the_place_of_another_one_wholly_or_not_at_all"
    ),
    "anyscene/project/outputs.py:replaced": (
        "project/test_outputs.py::test_a_block_that_fails_leaves_what_was_there"
    ),
    "anyscene/project/per_scene.py:_Task.__call__": (
        "project/test_per_scene.py::test_a_failed_scene_keeps_its_older_artefact"
    ),
    "anyscene/project/per_scene.py:_remove_orphans": (
        "project/test_per_scene.py::test_a_scene_whose_key_cannot_be_had_keeps_its_older_artefact"
    ),
    "anyscene/project/per_scene.py:replace": (
        "project/test_per_scene.py::test_replace_is_whole_at_every_rename"
    ),
    "anyscene/project/per_scene.py:workspace": (
        "project/test_per_scene.py::test_second_run_is_refused_and_told_who_holds_the_output"
    ),
    "anyscene/project/store.py:note_failed": (
        "project/test_per_scene.py::test_as_many_scenes_as_allowed_may_fail_and_are_named"
    ),
    "anyscene/segmenters/precomputed/converters/writing.py:write": (
        "segmenters/precomputed/converters/test_converters.py"
        "::test_a_killed_run_leaves_the_old_answers_or_the_new"
    ),
    "anyscene/show/export.py:write_pointcept": (
        "project/test_outputs.py::test_a_full_disk_keeps_an_older_export"
    ),
    "anyscene/weights/fetching.py:_download": (
        "weights/test_fetching.py::test_another_file_than_published_is_thrown_away"
    ),
    "anyscene/weights/fetching.py:fetch": "weights/test_fetching.py::test_no_network",
    "anyscene_demo/world.py:write_capture": (
        "anyscene_demo/test_world.py::test_a_world_that_fails_leaves_the_one_before"
    ),
    "anyscene_demo/zoo/images.py:see": (
        "anyscene_demo/zoo/test_segmenters.py::test_images_are_seen_once_and_again_when_settings_change"
    ),
}
NO_FILES = {  # what is removed there lies in memory
    "anyscene/project/stages.py:_in_order",
    "anyscene/show/viewer/page.py:Page._forget",
}


def removals(node: ast.AST, name: str = "") -> Iterator[str]:
    """The functions that call something that removes, renames or replaces a file or a folder."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            yield from removals(child, f"{name}.{child.name}".lstrip("."))
            continue
        if isinstance(child, ast.Call) and isinstance(child.func, ast.Attribute):
            of_os = getattr(child.func.value, "id", "") == "os"
            put = child.func.attr == "replace" and (of_os or (len(child.args) == 1 and not child.keywords))
            if put or child.func.attr in REMOVING:
                yield name
        yield from removals(child, name)


def test_what_removes_or_replaces_loses_no_finished_work():
    """Each place has a test that shows it."""
    found = {
        f"{path.relative_to(REPOSITORY / folder).as_posix()}:{name}"
        for folder in ("pipeline", "stages")
        for path in sorted((REPOSITORY / folder).rglob("*.py"))
        for name in removals(parsed(path.read_text()))
    }
    assert sorted(found ^ (KEPT.keys() | NO_FILES)) == []
    for test in KEPT.values():
        file, _, name = test.partition("::")
        assert re.search(rf"^def {name}\(", (TESTS / file).read_text(), re.MULTILINE), test


def test_removals_are_noticed():
    code = (
        "def a():\n    shutil.rmtree(b)\nclass C:\n    def d(self):\n        e.replace(f)\n"
        "def g():\n    os.replace(h, i)\ndef j():\n    'k'.replace('l', 'm')\n    replace(n, o=1)\n"
        "def p():\n    q.unlink()\n    r.rename(s)"
    )
    assert set(removals(parsed(code))) == {"a", "C.d", "g", "p"}
