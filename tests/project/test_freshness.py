"""What makes a stage stale, on a package written for it: formulas, packages and files do, words do not."""

import dataclasses
import importlib.metadata
import itertools
import json
import os
import sys
import time

import pytest

from anyscene.errors import PipelineError
from anyscene.project import freshness, parameters
from anyscene.project.freshness import Source
from anyscene.project.stages import Stage
from tests.builders import REPOSITORY

NUMBERS = itertools.count()  # a module that was imported once stays what it was
PARAMS = parameters.load(REPOSITORY / "params.yaml")


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The folder of a package of modules: `top` imports `inner`; nothing imports `unused`."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / f"made_up{next(NUMBERS)}"
    (folder / "inner").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "top.py").write_text(f"from {folder.name} import inner\n\n\ndef area(a):\n    return a * a\n")
    (folder / "inner/__init__.py").write_text("")
    (folder / "inner/deep.py").write_text('"""Words."""\n\nimport open_clip\n\nHALF = 0.5  # of it\n')
    (folder / "lazy.py").write_text(
        f"def late():\n    from {folder.name}.inner.deep import HALF\n\n    return HALF\n"
    )
    (folder / "unused.py").write_text("A = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    return folder


def look(package, module="lazy", files=()):
    """What a stage is made by that reaches `module` of the package."""
    stage = Stage(
        "made_up",
        writes=(),
        modules=lambda params, item: (f"{package.name}.{module}",),
        files=lambda params, item: files,
    )
    return freshness.of(stage, PARAMS)


def edit(file, old, new, keep=False):
    """Write `new` for `old`; with `keep` the file seems as old as before."""
    state = file.stat()
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    if keep:
        os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("inner/deep.py", "0.5", "0.25"),
        ("lazy.py", "return HALF", "return -HALF"),
        ("inner/__init__.py", "", "A = 1\n"),
        ("__init__.py", "", "A = 1\n"),
    ],
)
def test_a_changed_formula_is_other_code(package, file, old, new):
    before = look(package)
    edit(package / file, old, new)
    after = look(package)
    assert after.code != before.code and after.made_by != before.made_by and after.given == before.given


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("inner/deep.py", "# of it", "# of all"),
        ("inner/deep.py", '"""Words."""', '"""Other words, on\n\nmany lines."""'),
        ("lazy.py", "def late():\n", 'def late():\n    """Says what it does."""\n'),
        ("inner/deep.py", "HALF = 0.5  # of it", "\n\nHALF = (\n    0.5\n)"),
        ("unused.py", "A = 1", "A = 2"),
        ("top.py", "a * a", "a + a"),
    ],
)
def test_a_changed_word_or_unused_module_is_the_same_code(package, file, old, new):
    before = look(package)
    edit(package / file, old, new)
    assert look(package) == before


SAID = """import typer
from typing import Annotated

from anyscene.errors import ConfigError
from anyscene.project.stages import Stage

STAGE = Stage("made_up", writes=("data/made_up",), parameters=("fusion",))


def made_up(often: Annotated[int, typer.Option(help="how often")] = 1):
    if often < 1:
        raise ConfigError(f"{often}: give at least " + "1")
    return often
"""


def test_a_docstring_alone_does_nothing(package):
    (package / "said.py").write_text('def nothing():\n    """Does nothing."""\n')
    before = look(package, "said")
    (package / "said.py").write_text("def nothing():\n    pass\n")
    assert look(package, "said") == before


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ('help="how often"', 'help="the number of times"', True),
        ('(f"{often}: give at least " + "1")', '(f"often: {often!r}, wanted one at least")', True),
        ('parameters=("fusion",)', 'parameters=("fusion", "report")', True),
        ("= 1):", "= 2):", False),
        ("often < 1", "often < 2", False),
        ("ConfigError(f", "ValueError(f", False),
        ("return often", 'return "often"', False),
    ],
)
def test_what_is_only_said_is_no_code(package, old, new, same):
    """Help, the texts of errors, and the declaration of a stage, whose parts are compared by themselves."""
    (package / "said.py").write_text(SAID)
    before = look(package, "said")
    edit(package / "said.py", old, new)
    assert (look(package, "said") == before) == same


@pytest.mark.parametrize(
    "named", ['.with_name("table.csv")', '.parent / "table.csv"', '.parent / "inner" / "table.csv"']
)
def test_a_data_file_that_a_module_names_beside_itself_is_code(package, named):
    (package / "reads.py").write_text(f"from pathlib import Path\n\nFILE = Path(__file__){named}\n")
    file = package / ("inner/table.csv" if "inner" in named else "table.csv")
    file.write_text("one")
    before = look(package, "reads")
    assert look(package, "lazy").code != before.code
    file.write_text("two")
    assert look(package, "reads").code != before.code and look(package, "reads").given == before.given
    file.write_text("one")
    (file.parent / "other.csv").write_text("beside it, and not named")
    assert look(package, "reads") == before


def test_of_a_folder_that_a_module_names_no_file_counts(package):
    (package / "reads.py").write_text("from pathlib import Path\n\nFOLDER = Path(__file__).parent\n")
    before = look(package, "reads")
    (package / "table.csv").write_text("a parameter says which file is read")
    assert look(package, "reads") == before


def test_files_of_which_a_scene_reads_a_part_are_compared_and_enter_no_key(package, tmp_path):
    answers = tmp_path / "answers"
    answers.mkdir()
    (answers / "a.npz").write_text("a")

    def fresh():
        stage = Stage("made_up", writes=(), scene_files=lambda params, item: (answers,))
        return freshness.of(stage, PARAMS)

    before = fresh()
    (answers / "b.npz").write_text("b")
    after = fresh()
    assert after.record() != before.record()
    assert (after.given, after.made_by) == (before.given, before.made_by)


def test_text_that_is_no_docstring_is_code(package):
    (package / "inner/deep.py").write_text('HALF = "a"\n')
    before = look(package)
    (package / "inner/deep.py").write_text('HALF = "b"\n')
    assert look(package).code != before.code


def test_a_module_that_is_reached_from_now_on_counts(package):
    before = look(package, "top")
    edit(package / "top.py", "import inner", "import inner, unused")
    reached = look(package, "top")
    assert reached.code != before.code
    edit(package / "unused.py", "A = 1", "A = 2")
    assert look(package, "top").code != reached.code


def test_relative_imports_are_followed(package):
    (package / "inner/beside.py").write_text("from .deep import HALF\nfrom .. import unused\n")
    with Source() as source:
        reached = source.reached([f"{package.name}.inner.beside"])
    names = {name.removeprefix(package.name) for name in reached}
    assert names == {"", ".inner", ".inner.beside", ".inner.deep", ".unused"}


def test_a_package_of_one_module_is_followed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / f"alone{next(NUMBERS)}.py"
    file.write_text("A = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    stage = Stage("made_up", writes=(), modules=lambda params, item: (file.stem,))
    before = freshness.of(stage, PARAMS)
    file.write_text("A = 1  # said\n")
    assert freshness.of(stage, PARAMS) == before
    file.write_text("A = 2\n")
    assert freshness.of(stage, PARAMS).code != before.code


def test_another_version_of_a_package_counts(package, monkeypatch):
    before, version = look(package), importlib.metadata.version
    assert before.packages["open_clip"] == version("open_clip_torch")
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: "9.9" if "clip" in name else version(name)
    )
    freshness.version.cache_clear()
    after = look(package)
    freshness.version.cache_clear()
    assert after.packages == before.packages | {"open_clip": "9.9"}
    assert after.code == before.code and after.made_by != before.made_by


def test_the_content_of_files_counts_whatever_they_are_called(package, tmp_path):
    table, folder = tmp_path / "table.csv", tmp_path / "weights"
    folder.mkdir()
    table.write_text("a")
    (folder / "model").write_text("b")
    before = look(package, files=(table, folder))
    assert look(package, files=(table, folder)) == before
    (folder / "model").write_text("c")
    after = look(package, files=(table, folder))
    assert after.given != before.given and after.made_by == before.made_by
    table.unlink()
    assert look(package, files=(table, folder)).files[str(table)] == "missing"


def test_what_is_remembered_is_forgotten_when_a_file_changes(package):
    file = package / "inner/deep.py"
    long_ago = time.time() - 100
    os.utime(file, (long_ago, long_ago))
    before = look(package)
    edit(file, "0.5", "0.4", keep=True)
    assert look(package).code != before.code


def test_a_module_that_is_no_python_is_named(package):
    (package / "inner/deep.py").write_text("HALF = ")
    with pytest.raises(PipelineError, match=r"inner/deep\.py: is not Python"):
        look(package)


def test_what_dvc_compares_is_written_where_it_differs_alone(package, tmp_path):
    stages = [
        Stage("one", writes=(), modules=lambda params, item: (f"{package.name}.lazy",)),
        Stage(
            "each", writes=(), each="segmenters.names", modules=lambda params, item: (f"{package.name}.top",)
        ),
    ]
    path = tmp_path / "data/freshness.json"
    freshness.write(stages, PARAMS, path)
    found = json.loads(path.read_text())
    assert set(found) == {"one", "each"} and set(found["each"]) == set(PARAMS.segmenters.names)
    assert found["one"]["code"] == look(package).code
    written = path.stat().st_mtime_ns
    freshness.write(stages, PARAMS, path)
    assert path.stat().st_mtime_ns == written
    edit(package / "inner/deep.py", "0.5", "0.25")
    freshness.write(stages, PARAMS, path)
    changed = json.loads(path.read_text())
    assert changed["one"] != found["one"] and changed["each"] == found["each"]


def test_no_module_of_the_project_is_imported_to_look_it_up(package):
    look(package)
    assert not [name for name in sys.modules if name.startswith(f"{package.name}.")]


def test_numbers_of_a_check_are_no_part_of_what_is_compared():
    fresh = freshness.Freshness("code")
    assert dataclasses.replace(fresh, check=3, seed=1).record() == fresh.record()
