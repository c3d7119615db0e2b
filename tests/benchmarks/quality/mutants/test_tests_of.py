"""The tests that are to notice a fault are there."""

from pathlib import Path

import pytest

from benchmarks.quality.mutants import tests_of as chosen
from benchmarks.quality.mutants.tests_of import BESIDE, PACKAGE, TESTS


def test_what_is_named_is_there():
    for module, tests in BESIDE.items():
        assert (PACKAGE / module).is_file(), module
        assert all((TESTS / test).is_file() for test in tests), module


@pytest.mark.parametrize(
    ("module", "tests"),
    [
        ("fusion/fuse.py", ["fusion/test_fuse.py"]),
        ("text/__init__.py", ["text/test_text.py"]),
        (
            "project/store.py",
            ["project/test_store.py", "project/test_per_scene.py", "project/test_artefact.py"],
        ),
        ("datasets/geometry/geometry.py", []),
    ],
)
def test_tests_of_a_file(module, tests):
    assert chosen.tests_of(PACKAGE / module) == [Path("tests") / test for test in tests]


def test_a_file_without_tests_of_its_own_is_that_of_those_who_import_it():
    assert Path("tests/tasks/test_task.py") in chosen.tests_of(PACKAGE / "tasks/layer.py")
